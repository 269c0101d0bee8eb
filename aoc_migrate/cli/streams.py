"""The standard streams. A line of log that cannot be written is lost; on stdout, it is an error."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import click


class ClosedPipe(Exception):  # noqa: N818  (it is no error)
    """Raised when nobody reads the output any more: there is nothing left to write, and nothing is wrong."""


def guard_streams() -> None:
    """Make sys.stdout and sys.stderr what this module promises, and keep the numbers of closed streams taken.

    Otherwise, a connection to the server could get the number 1, and whoever writes to stdout would write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = cast(TextIO, Stdout(sys.stdout))
    sys.stderr = cast(TextIO, Stderr(sys.stderr))


class Stdout:
    """The stream for what a command returns. Every text is written at once."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text. Raises ClosedPipe, or Abort (exit 2) if it cannot be written."""
        if text == "":  # click writes b"" and "" to learn what kind of stream this is
            return 0
        if self._stream is None:
            raise self._unwritable("it is closed")
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._discard(self._stream)
            raise ClosedPipe from None
        except OSError as error:
            self._discard(self._stream)
            raise self._unwritable(str(error.strerror)) from None
        return len(text)

    def flush(self) -> None:
        """Do nothing: every text is flushed as it is written."""

    def _discard(self, stream: TextIO) -> None:
        """Discard what the stream still holds; otherwise, Python would try to write it at exit, and complain."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def _unwritable(self, reason: str) -> Exception:
        from aoc_migrate.errors import refused

        return refused(f"stdout could not be written: {reason}.")


class Stderr:
    """The stream for log and errors. What cannot be written to it is lost, and does not end the work."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or lose it: the stream may be closed, full, or a pipe that nobody reads."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
        return len(text)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal; a closed one is none."""
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def flush(self) -> None:
        """Do nothing: every text is flushed as it is written."""


def stdout_is_closed() -> bool:
    """Return whether the process was started without a stdout."""
    return sys.__stdout__ is None


def print_result(text: str) -> None:
    """Print what a command has done. Raises Abort (exit 4, because it is done) if that fails."""
    from aoc_migrate.errors import Abort, refused

    try:
        with suppress(ClosedPipe):
            click.echo(text)
    except Abort as failure:
        raise refused(str(failure), 4) from None
