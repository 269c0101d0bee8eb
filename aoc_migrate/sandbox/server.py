"""A private PostgreSQL server in one folder, created on first start and deleted with the folder."""

import errno
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from aoc_migrate.errors import refused
from aoc_migrate.sandbox.account import Account, account_of, choose_account
from aoc_migrate.sandbox.address import free_port, listens, make_socket_folder, process_command, serves
from aoc_migrate.sandbox.binaries import copy_programs, find_binaries
from aoc_migrate.sandbox.state import FILES, LOCK, State, exclusively, load_state

__all__ = ["Server", "default_folder", "default_server", "find_binaries"]

_SUPERUSER = "sandbox"
_OURS = {*FILES, "data", "log", "password", "programs", "socket"}
_SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
cluster_name = 'aoc-migrate-sandbox'
wal_level = logical
max_prepared_transactions = 8
shared_buffers = 64MB
max_wal_size = 2GB
fsync = off
full_page_writes = off
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""
_ACCESS = """\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


def default_folder() -> Path:
    """Return the sandbox's folder: ``AOC_SANDBOX_DIR``, or ``aoc-migrate/sandbox`` in the user's cache.

    Raises Abort (exit 2) if it depends on a home folder and the user has none.
    """
    try:
        chosen = os.environ.get("AOC_SANDBOX_DIR")
        if chosen:
            return Path(chosen).expanduser().absolute()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        return cache.absolute() / "aoc-migrate" / "sandbox"
    except RuntimeError:
        raise refused("This user has no home folder. Set AOC_SANDBOX_DIR to a folder for the sandbox.") from None


def default_server() -> "Server":
    """Return the server that ``aoc-migrate sandbox`` manages. Raises Abort (exit 2) if there is no PostgreSQL."""
    return Server(default_folder(), find_binaries())


@dataclass(frozen=True)
class Server:
    """A private server whose files are in ``folder`` and whose programs are in ``binaries``.

    Every method may be called at any time, from any number of processes, and raises Abort (exit 2) if the folder
    is not ours to read and write.
    """

    folder: Path
    binaries: Path

    def start(self) -> None:
        """Create the server if necessary, and start it. Raises Abort if it does not start."""
        with exclusively(self.folder) as lock:
            if not self.running():
                self._start(load_state(self.folder) or self._create(lock))

    def stop(self) -> None:
        """Stop the server if it runs; open transactions are rolled back."""
        if load_state(self.folder):
            with exclusively(self.folder):
                self._stop()

    def delete(self) -> None:
        """Stop the server and remove all of its files, and nothing else."""
        if self.folder.is_dir():
            with exclusively(self.folder):
                state = self._stop()
                for folder in {self.folder, Path(state.work) if state else self.folder}:
                    _remove_ours(folder)

    def running(self) -> bool:
        """Return whether the server listens on its socket. A pid would not do: it may be reused after a reboot."""
        state = load_state(self.folder)
        return state is not None and listens(state)

    def url(self, database: str) -> str:
        """Return the libpq URL of a database, with password. Raises Abort if the server was never started."""
        state = self._known_state()
        return f"postgresql://{_SUPERUSER}:{state.password}@127.0.0.1:{state.port}/{database}"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket, which trusts every role. Raises Abort if the server was never started."""
        return Path(self._known_state().sockets)

    def _known_state(self) -> State:
        state = load_state(self.folder)
        if state is None:
            raise refused("The sandbox was never started. Run: aoc-migrate sandbox start")
        return state

    def _create(self, lock: int) -> State:
        """Run initdb and save the state, last, so that an interrupted attempt starts over."""
        foreign = sorted({entry.name for entry in self.folder.iterdir()} - _OURS)
        if foreign:
            raise refused(
                f"{self.folder} contains other files ({foreign[0]}). Set AOC_SANDBOX_DIR to a new folder."
            )
        account = choose_account(self.binaries, self.folder)
        # Our folder is private, so a server that runs as another user gets its own folder.
        work = self.folder if account.user is None else Path(tempfile.mkdtemp(prefix="aoc-migrate-sandbox-"))
        account.own(work)
        state = State(secrets.token_urlsafe(18), free_port(), str(work), str(work / "socket"))
        shutil.rmtree(state.data, ignore_errors=True)
        self._initdb(account, state, lock)
        with (state.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("include = 'sandbox.conf'\n")
        (state.data / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
        state.save(self.folder)
        return state

    def _initdb(self, account: Account, state: State, lock: int) -> None:
        """Create the data folder. initdb inherits the lock, so nobody else writes there even if it outlives us."""
        secret = Path(state.work) / "password"
        secret.touch(mode=0o600)
        secret.write_text(state.password, encoding="ascii")
        account.own(secret)
        arguments = (
            "-D",
            state.data,
            "-U",
            _SUPERUSER,
            "--pwfile",
            secret,
            "--auth=scram-sha-256",
            "--no-sync",
            "--encoding=UTF8",
        )
        try:
            for locale in ("C.UTF-8", "C"):
                problem = self._run(account, state, "initdb", *arguments, f"--locale={locale}", keep=(lock,))
                if problem is None:
                    return
        finally:
            secret.unlink()
        raise refused(f"The sandbox's server cannot be created: {problem}.")

    def _start(self, state: State) -> None:
        account = account_of(state.data)
        self._clear_leftovers(account, state)
        for _ in range(3):
            state = replace(state, port=free_port(state.port), sockets=make_socket_folder(state, account))
            state.save(self.folder)
            settings = _SETTINGS.format(port=state.port, sockets=state.sockets.replace("'", "''"))
            (state.data / "sandbox.conf").write_text(settings, encoding="utf-8")
            problem = self._run(account, state, "pg_ctl", "start", "-w", "-D", state.data, "-l", state.log)
            if problem is None:
                return
        raise refused(
            f"The sandbox's server did not start: {_complaint(_read(state.log)) or problem}. "
            f"Its log is {state.log}. To start over: aoc-migrate sandbox stop --delete"
        )

    def _stop(self) -> State | None:
        state = load_state(self.folder)
        if state and state.data.is_dir():
            account = account_of(state.data)
            if listens(state):
                self._shut_down(account, state)
            self._clear_leftovers(account, state)
            shutil.rmtree(state.sockets, ignore_errors=True)
        return state

    def _clear_leftovers(self, account: Account, state: State) -> None:
        """Stop a server that lost its socket, or remove a pid file whose pid now belongs to another process.

        PostgreSQL cannot distinguish the two, and refuses to start while such a process exists.
        """
        if serves(state):
            self._shut_down(account, state)
        elif process_command(state) is not None:
            (state.data / "postmaster.pid").unlink()

    def _shut_down(self, account: Account, state: State) -> None:
        problem = self._run(account, state, "pg_ctl", "stop", "-w", "-m", "fast", "-D", state.data)
        # pg_ctl also fails if the server has ended by itself.
        if problem is not None and (listens(state) or serves(state)):
            raise refused(f"The sandbox's server did not stop: {problem}.", exit_code=3)

    def _run(
        self, account: Account, state: State, program: str, *arguments: str | Path, keep: Collection[int] = ()
    ) -> str | None:
        """Run one of PostgreSQL's programs. Return None, or its error."""
        binaries, work = self.binaries, Path(state.work)
        try:
            if account.user is not None and not account.can_use(binaries, work):
                binaries = copy_programs(binaries, work / "programs")
            result = account.run(binaries / program, *arguments, keep=keep)
        except (OSError, subprocess.SubprocessError) as error:
            return str(error).rstrip(".")
        if result.returncode == 0:
            return None
        return _complaint(result.stdout) or f"{program} ended with exit code {result.returncode}"


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _complaint(output: str) -> str:
    """Return the last error in the output of a program of PostgreSQL, or an empty string."""
    for line in reversed(output.splitlines()):
        _, mark, text = line.partition("FATAL:") if "FATAL:" in line else line.partition("error:")
        if mark:
            return text.strip().rstrip(".")
    return ""


def _remove_ours(folder: Path) -> None:
    for name in sorted(_OURS, key=lambda name: name == LOCK):  # without its lock, the folder is anybody's
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
