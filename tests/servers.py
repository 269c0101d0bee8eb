"""Servers of the tests' own, which no killed pytest leaves behind."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

from aoc_migrate.sandbox.account import account_of
from aoc_migrate.sandbox.server import Server, find_binaries
from aoc_migrate.sandbox.state import load_state

ROOM = 8 << 30
"""The bytes that must be free in memory: four servers with their WAL."""
_PR_SET_PDEATHSIG = 1


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a new server for the block, in memory if there is room; the path is short, as a socket needs."""
    shared = Path("/dev/shm")
    in_memory = shared.is_mount() and shutil.disk_usage(shared).free > ROOM
    server = guarded_server(Path(tempfile.mkdtemp(prefix="aoc", dir=shared if in_memory else "/tmp")))
    try:
        server.start()
        yield server
    finally:
        server.delete()


def guarded_server(folder: Path, binaries: Path | None = None) -> Server:
    """Return the server of a folder, new or not; both are gone as soon as this process is."""
    guard(folder)
    return Server(folder, binaries or find_binaries())


def crash(server: Server) -> None:
    """Stop a server as a crash would: what it had not written to its files is lost."""
    state = load_state(server.folder)
    assert state is not None
    program = server.binaries / "pg_ctl"
    ended = account_of(state.data).run(program, "stop", "-w", "-m", "immediate", "-D", state.data)
    assert ended.returncode == 0, ended.stdout


def guard(folder: Path) -> None:
    """End the processes whose arguments name ``folder``, and delete it, as soon as this process is gone."""
    pipe = _watchdog().stdin
    assert pipe is not None
    pipe.write(f"{folder}\n")
    pipe.flush()


def die_with_parent() -> None:
    """Have Linux kill this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@cache
def _watchdog() -> "subprocess.Popen[str]":
    """Start the process that reads folders from a pipe of which only we have the other end."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers"],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def _watch(pipe: IO[str]) -> None:
    """Wait for the pipe to end, then clean up every folder that was written to it."""
    for line in pipe.readlines():
        folder = Path(line.rstrip("\n"))
        state = load_state(folder)
        for each in {folder, Path(state.work) if state else folder}:
            _end_processes(each)
        Server(folder, find_binaries()).delete()
        shutil.rmtree(folder, ignore_errors=True)


def _end_processes(folder: Path) -> None:
    for number in (signal.SIGQUIT, signal.SIGKILL):  # SIGQUIT is PostgreSQL's immediate shutdown
        end = time.monotonic() + 5
        while time.monotonic() < end and (pids := _processes(folder)):
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            time.sleep(0.1)


def _processes(folder: Path) -> list[int]:
    """Return the processes that have a path in the folder among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if any(os.fsencode(folder) + b"/" in word for word in path.read_bytes().split(b"\0")):
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    _watch(sys.stdin)
