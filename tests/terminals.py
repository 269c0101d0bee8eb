"""Commands whose stderr is a terminal: a real pseudo-terminal of 80 columns, with nobody at it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.conftest import Aoc

COLUMNS = 80


class Terminal:
    """A command, and what it has written to its terminal so far."""

    def __init__(self, process: "subprocess.Popen[str]", descriptor: int) -> None:
        self.process, self._descriptor, self._read = process, descriptor, bytearray()
        self._reader = threading.Thread(target=self._follow)
        self._reader.start()

    def _follow(self) -> None:
        while True:
            chunk = b""
            with suppress(OSError):  # the other end is closed
                chunk = os.read(self._descriptor, 65536)
            if not chunk:
                return
            self._read += chunk

    @property
    def written(self) -> str:
        """Everything that was written."""
        return bytes(self._read).decode(errors="replace")

    def close(self) -> None:
        """Close our end, as a terminal that disappears does."""
        os.dup2(os.open(os.devnull, os.O_RDWR), self._descriptor)

    def end(self) -> str:
        """Wait for the end of the command, and return its stdout."""
        out, _ = self.process.communicate(timeout=60)
        self._reader.join(10)
        return out


@contextmanager
def on_terminal(aoc: Aoc, *words: str, **environment: str) -> Iterator[Terminal]:
    """Start a command with a terminal as its stderr, and end it with the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "aoc_migrate", *words],
        env=aoc.env(**{"TERM": "xterm-256color"} | environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
