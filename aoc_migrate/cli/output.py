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
        _check_file("--output", self.file)
        _check_file("--metrics", self.metrics)
        if self.metrics is not None:
            metrics = Path(self.metrics).resolve()
            if metrics.exists() and not metrics.is_file():  # it is replaced by a new file
                raise refused(f"--metrics {self.metrics!r} is not a regular file. Choose another file.")
            if self.file is not None and Path(self.file).resolve() == metrics:
                raise refused("--output and --metrics name the same file. Choose two files.")

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
            _print(text)
            return exit_code
        try:
            Path(self.file).write_text(text, encoding="utf-8")
        except OSError as error:  # the work is done; its report must not be lost
            _print(render(self.format_, command, reports, 4))
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


def _print(text: str) -> None:
    """Write to stdout. Raises Abort (exit 4) if that fails, except for a closed pipe, which click handles."""
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused(f"stdout could not be written: {error.strerror}. Use --output FILE.", 4) from None


def _check_file(option: str, name: str | None) -> None:
    """Raise Abort (exit 2) if a regular file of this name cannot be written. Creates nothing."""
    if name is None:
        return
    if "://" in name:
        raise refused(f"{option} takes a file, not a URL.")  # which is not repeated: it may hold a password
    path = Path(name).resolve()
    if not name or path.is_dir():
        problem = "it is a directory" if name else "it has no name"
    elif path.exists():
        problem = "" if os.access(path, os.W_OK) else "permission denied"
    elif not path.parent.is_dir():
        problem = "its folder does not exist"
    else:
        problem = "" if os.access(path.parent, os.W_OK) else "permission denied in its folder"
    if problem:
        raise refused(f"{option} {name!r} cannot be written: {problem}. Choose another file.")


def _write_termination_message(command: str, reports: "list[Report]") -> None:
    """Write what stopped the run to the pod's termination message, which outlives its log."""
    from aoc_migrate.report.verdict import termination_message

    path = Path(os.environ.get("AOC_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):  # the report itself matters more
        if path.is_file() and os.access(path, os.W_OK):
            path.write_text(termination_message(command, reports), encoding="utf-8")
