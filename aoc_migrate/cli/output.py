"""Where a command's output goes: the report, metrics, and the termination message of a pod."""

import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aoc_migrate.errors import refused

if TYPE_CHECKING:
    from aoc_migrate.report.model import Report


@dataclass(frozen=True)
class Output:
    """The format of the report, its file (None: stdout), and where metrics go."""

    format_: str = "table"
    file: str | None = None
    metrics: str | None = None
    push_gateway: str | None = None

    def check(self) -> None:
        """Raise Abort (exit 2) if a file cannot be written."""
        _writable("--output", self.file)
        _writable("--metrics", self.metrics)

    def say(self, message: str) -> None:
        """Write one line to stderr."""
        from aoc_migrate.report.formatting import plain

        sys.stderr.write(f"aoc-migrate: {plain(message)}\n")

    def write(self, command: str, reports: "list[Report]") -> int:
        """Write the reports and return the worst of their exit codes."""
        from aoc_migrate.report.forms import render

        exit_code = max(report.exit_code for report in reports)
        if exit_code:
            _write_termination_message(command, reports)
        text = render(self.format_, command, reports, exit_code, self._width())
        if self.file is None:
            click.echo(text, nl=False)
            return exit_code
        try:
            Path(self.file).write_text(text, encoding="utf-8")
        except OSError as error:  # the work is done; its report must not be lost
            click.echo(render(self.format_, command, reports, 4), nl=False)
            self.say(f"{self.file} could not be written: {error.strerror}; the report is on stdout")
            return 4
        return exit_code

    def _width(self) -> int:
        """Return the columns of the terminal, or a fixed number of them for a file or a pipe."""
        from aoc_migrate.report.forms import WIDTH

        terminal = self.file is None and os.isatty(1)
        return shutil.get_terminal_size().columns if terminal else WIDTH

    def write_text(self, text: str) -> None:
        """Write text that is not a report. Raises Abort (exit 2) if the file cannot be written."""
        if self.file is None:
            click.echo(text, nl=False)
            return
        self.check()
        Path(self.file).write_text(text, encoding="utf-8")

    def stderr(self, command: str, report: "Report") -> None:
        """Write a report to stderr, for a command with other output on stdout."""
        from aoc_migrate.report.forms import render

        sys.stderr.write(render("table", command, [report], report.exit_code))

    def publish(self, command: str, reports: "list[Report]") -> None:
        """Publish the metrics, if asked for. Call this last, because a push gateway may be slow."""
        if self.metrics or self.push_gateway:
            from aoc_migrate.cli.telemetry import publish

            publish(command, reports, self.metrics, self.push_gateway)


def _writable(option: str, file: str | None) -> None:
    if file is None:
        return
    try:
        with Path(file).open("a", encoding="utf-8"):
            return
    except OSError as error:
        raise refused(f"{option} {file} cannot be written: {error.strerror}. Choose another file.") from None


def _write_termination_message(command: str, reports: "list[Report]") -> None:
    """Write what stopped the run to the pod's termination message, which outlives its log."""
    from aoc_migrate.report.verdict import termination_message

    path = Path(os.environ.get("AOC_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):  # the report itself matters more
        if path.is_file() and os.access(path, os.W_OK):
            path.write_text(termination_message(command, reports), encoding="utf-8")
