"""The state of a server that its folder keeps between commands."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aoc_migrate.errors import refused

_FILE, _PARTIAL, LOCK = "server.json", "server.json.partial", "lock"
FILES = (_FILE, _PARTIAL, LOCK)


@dataclass(frozen=True)
class State:
    """The superuser's password, the port of the last start, and the folders of files and of the Unix socket."""

    password: str
    port: int
    work: str
    sockets: str

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return Path(self.work) / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return Path(self.work) / "log"

    def save(self, folder: Path) -> None:
        """Replace the state in ``folder``; only the folder's owner can read it."""
        partial, owner = folder / _PARTIAL, folder.stat()
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600, exist_ok=False)
        os.chown(partial, owner.st_uid, owner.st_gid)
        partial.write_text(json.dumps(vars(self)), encoding="utf-8")
        partial.replace(folder / _FILE)


def load_state(folder: Path) -> State | None:
    """Return the state in ``folder``, or None without a server. Raises Abort (exit 2) if it cannot be read."""
    try:
        return State(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refused(f"{folder / _FILE} cannot be read: {error.strerror}. Set AOC_SANDBOX_DIR.") from None
    except (ValueError, TypeError):
        raise refused(f"{folder / _FILE} is damaged. Remove {folder} and start again.") from None


@contextlib.contextmanager
def exclusively(folder: Path) -> Iterator[int]:
    """Create ``folder`` if necessary, wait for its lock, and hold it.

    Yields the lock's file descriptor: a program that inherits it holds the lock too, even if it outlives us.
    Raises Abort (exit 2) for any OSError inside.
    """
    try:
        with _lock(folder) as lock:
            yield lock.fileno()
    except OSError as error:
        path = error.filename or folder
        raise refused(f"The sandbox cannot use {path}: {error.strerror}. Set AOC_SANDBOX_DIR.") from None


def _lock(folder: Path) -> IO[str]:
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            if not folder.is_dir() and os.path.lexists(error.filename):
                raise
            continue  # somebody has just deleted the folder
        with contextlib.suppress(FileNotFoundError):
            lock = path.open("a")
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The previous holder may have deleted the folder, and with it the name of this lock.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(lock.fileno())):
                return lock
            lock.close()
