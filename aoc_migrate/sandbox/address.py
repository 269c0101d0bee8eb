"""Where a server listens (a private Unix socket, a port of the loopback interface), and whether it runs."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from aoc_migrate.sandbox.account import Account
from aoc_migrate.sandbox.state import State

_LONGEST_PATH = 100


def listens(state: State) -> bool:
    """Return whether a server listens on the socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(f"{state.sockets}/.s.PGSQL.{state.port}")
        except OSError:
            return False
    return True


def process_command(state: State) -> bytes | None:
    """Return the command line of the process in the server's pid file, or None if there is no such process."""
    try:
        process = (state.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
        return Path("/proc", process, "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None


def serves(state: State) -> bool:
    """Return whether a running process is the server of this data folder, even if it does not listen."""
    return os.fsencode(state.data) in (process_command(state) or b"").split(b"\0")


def free_port(wanted: int = 0) -> int:
    """Return ``wanted`` if that port of the loopback interface is free, otherwise any free port."""
    with socket.socket() as probe:
        # Like PostgreSQL: a port with connections in TIME_WAIT only is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def make_socket_folder(state: State, account: Account) -> str:
    """Make an empty private folder for the socket, and return its path, which is short enough for a socket."""
    shutil.rmtree(state.sockets, ignore_errors=True)
    folder = Path(state.work) / "socket"
    if len(os.fsencode(folder / ".s.PGSQL.65535")) > _LONGEST_PATH:
        folder = Path(tempfile.mkdtemp(prefix="aoc-"))
    else:
        folder.mkdir(mode=0o700)
    account.own(folder)
    return str(folder)
