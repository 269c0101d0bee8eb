"""Where a command's output goes: the report, metrics, and the termination message of a pod."""

import errno
import os
import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aoc_migrate.cli.streams import ClosedPipe, stdout_is_closed
from aoc_migrate.errors import Abort, refused
from aoc_migrate.report.model import FAILED, USAGE

if TYPE_CHECKING:
    from aoc_migrate.report.look import Look
    from aoc_migrate.report.model import Report


@dataclass(frozen=True)
class Output:
    """The format of the report, its file (None: stdout), how it is drawn, and where metrics go."""

    format_: str = "table"
    file: str | None = None
    color: str = "auto"
    verbose: bool = False
    quiet: bool = False
    metrics: str | None = None
    push_gateway: str | None = None

    def check(self) -> None:
        """Raise Abort (exit 2) if stdout is closed, a file cannot be written, or options contradict each other."""
        if self.verbose and self.quiet:
            raise refused("--verbose shows everything, --quiet only the verdict. Choose one.")
        if self.color == "never":
            os.environ["NO_COLOR"] = "1"  # for the bar on stderr
        if self.file is None and stdout_is_closed():
            raise refused("stdout is closed, so the report would be lost. Use --output FILE.")
        _check_file("--output", self.file)
        if self.metrics == "-":
            raise refused("--metrics takes a file; stdout has the report.")
        _check_file("--metrics", self.metrics)
        if self.metrics is not None:
            metrics = Path(self.metrics).resolve()
            if metrics.exists() and not metrics.is_file():  # it is replaced by a new file
                raise refused(f"--metrics {self.metrics!r} is not a regular file. Choose another file.")
            if self.file is not None and Path(self.file).resolve() == metrics:
                raise refused("--output and --metrics name the same file. Choose two files.")

    def say(self, message: str, *, event: str = "error", level: str = "error") -> None:
        """Write one line to stderr."""
        from aoc_migrate.database.log import sentence

        sentence(message, event=event, level=level)

    def write(self, command: str, reports: "list[Report]") -> tuple[int, bool]:
        """Write the reports; return the exit code, and whether anybody got them.

        The exit code is the worst of the reports'. If they cannot be written, it is 4, or 2 if nothing changed.
        """
        from aoc_migrate.report.forms import render

        exit_code = max(report.exit_code for report in reports)
        if exit_code:
            _write_termination_message(command, reports)
        try:
            self._put(render(self.format_, command, reports, exit_code, self._look()))
            return exit_code, True
        except ClosedPipe:
            return exit_code, False
        except Abort as failure:
            exit_code = FAILED if any(report.changed for report in reports) else USAGE
            if self.file is None:
                self.say(f"{failure} Use --output FILE.")
                return exit_code, False
            delivered = _put_on_stdout(render(self.format_, command, reports, exit_code))
            where = "on stdout" if delivered else "lost: stdout cannot take it either"
            self.say(f"{failure} The report is {where}.")
            return exit_code, delivered

    def _put(self, text: str) -> None:
        """Write text to the file or stdout. Raises ClosedPipe, or Abort (exit 2) if it cannot be written."""
        if self.file is None:
            click.echo(text, nl=False, color=True)  # the text has colors only if they are wanted
            return
        opener = self._open_fifo if Path(self.file).is_fifo() else None
        try:
            with open(self.file, "w", encoding="utf-8", opener=opener) as file:
                file.write(text)
        except BrokenPipeError:
            raise ClosedPipe from None
        except OSError as error:
            raise refused(f"{self.file} could not be written: {error.strerror}.") from None

    def _open_fifo(self, path: str, flags: int) -> int:
        """Open a FIFO, once. Without a reader, say that we wait for one."""
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK)
            os.set_blocking(descriptor, True)
            return descriptor
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        self.say(f"waiting for a reader of {path}", event="waiting", level="info")
        return os.open(path, flags)

    def _look(self) -> "Look":
        """Return the size of the terminal, or a fixed one for a file or a pipe, and whether it takes colors."""
        from aoc_migrate.report.look import Look, Verbosity

        terminal = self.file is None and os.isatty(1)
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        color = self.color == "always" or (self.color == "auto" and terminal and not plain)
        verbosity = Verbosity.VERBOSE if self.verbose else Verbosity.QUIET if self.quiet else Verbosity.NORMAL
        columns, lines = shutil.get_terminal_size() if terminal else (Look.width, Look.height)
        return Look(max(columns, 40), lines, color, verbosity)

    def write_text(self, text: str) -> None:
        """Write text that is not a report. Raises ClosedPipe, or Abort (exit 2) if it cannot be written."""
        self.check()
        self._put(text)

    def stderr(self, command: str, report: "Report") -> None:
        """Write a report to stderr, for a command with other output on stdout."""
        from aoc_migrate.database.log import is_json, say
        from aoc_migrate.report.forms import render

        if not is_json():
            sys.stderr.write(render("table", command, [report], report.exit_code))
        for finding in report.findings if is_json() else ():
            message = f"{finding.problem} {finding.help}"
            say(message, report.target, event="finding", level=finding.severity, slug=finding.slug)

    def publish(self, command: str, reports: "list[Report]") -> None:
        """Publish the metrics, if asked for. Call this last, because a push gateway may be slow."""
        if self.metrics or self.push_gateway:
            from aoc_migrate.cli.telemetry import publish

            publish(command, reports, self.metrics, self.push_gateway)


def _put_on_stdout(text: str) -> bool:
    """Write a report to stdout instead of its file; return whether that worked."""
    try:
        click.echo(text, nl=False)
    except (ClosedPipe, Abort):
        return False
    return True


def _check_file(option: str, name: str | None) -> None:
    """Raise Abort (exit 2) if a file of this name cannot be written. Creates and opens nothing."""
    if name is None:
        return
    if "://" in name:
        raise refused(f"{option} takes a file, not a URL.")  # which is not repeated: it may hold a password
    problem = _problem(name) if name else "the name is empty"
    if problem:
        raise refused(f"{option} {name!r} cannot be written: {problem}. Choose another file.")


def _problem(name: str) -> str | None:
    """Return why a file cannot be written, as far as that shows without opening it."""
    try:
        mode = Path(name).stat().st_mode
    except FileNotFoundError:
        folder = Path(name).resolve().parent
        if not folder.is_dir() or name.endswith("/"):
            return "its folder does not exist"
        return None if os.access(folder, os.W_OK) else "permission denied in its folder"
    except OSError as error:
        return error.strerror
    if stat.S_ISDIR(mode) or stat.S_ISSOCK(mode):
        return "it is a directory" if stat.S_ISDIR(mode) else "it is a socket"
    return None if os.access(name, os.W_OK) else "permission denied"


def _write_termination_message(command: str, reports: "list[Report]") -> None:
    """Write what stopped the run to the pod's termination message, which outlives its log."""
    from aoc_migrate.report.verdict import termination_message

    path = Path(os.environ.get("AOC_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):  # the report itself matters more
        if path.is_file() and os.access(path, os.W_OK):
            path.write_text(termination_message(command, reports), encoding="utf-8")
