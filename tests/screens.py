"""A real terminal for a command: what it shows, and how large it is."""

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress

from tests.conftest import ROOT, Ran


def on_screen(*words: str, environment: Mapping[str, str], columns: int = 80, lines: int = 40) -> Ran:
    """Run aoc-migrate with stdin, stdout and stderr on a terminal of that size; ``out`` is all that it shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "aoc_migrate", *words], {"TERM": "xterm", **environment})
    shown = b""
    with suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as screen:  # reading past the end is an error
        while part := screen.read(65536):
            shown += part
    _, status = os.waitpid(pid, 0)
    return Ran(os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n"), "")
