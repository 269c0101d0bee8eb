"""Commands as forks of a process that has everything imported: each a process of its own, without the wait.

Importing Alembic and SQLAlchemy is most of what a command costs on a small table. Tests of the start itself start
their processes as a user does.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

MOST = 1_000_000  # bytes of a message: the words and the environment of a command
PROGRAMS = Path(__file__).parent / "programs"
"""Has an aoc-migrate that is such a fork, for the PATH of a shell; it finds its server by `place`."""


class Process:
    """``python -m module`` as a fork: as much of subprocess.Popen as tests use. stdin is /dev/null."""

    def __init__(self, module: str, words: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
        asked = json.dumps([module, words, environment, str(folder)]).encode()
        (out, out_of), (err, err_of) = os.pipe(), os.pipe()
        self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(_server(), [asked], [out_of, err_of, theirs.fileno()])
        theirs.close()
        os.close(out_of)
        os.close(err_of)
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        self.returncode: int | Any = None
        self.pid = int(self._status.recv(100))

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._status.recv(100)))
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. Raises TimeoutExpired."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return stdout and stderr. Raises TimeoutExpired, after killing the command."""
        with ThreadPoolExecutor(2) as pool:
            out, err = pool.submit(self.stdout.read), pool.submit(self.stderr.read)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.stdout.close()
        self.stderr.close()
        return out.result(), err.result()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()


def place() -> dict[str, str]:
    """Return the variable by which the program in `PROGRAMS` finds the process that forks, which is started."""
    _server()
    return {"AOC_TEST_FORKS": _name(os.getpid())}


def _name(pid: int) -> str:
    return f"aoc-forks-{pid}"


@cache
def _server() -> socket.socket:
    """Start the process that forks, once for each that runs tests; it ends when this one does."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as shells:
        shells.bind("\0" + _name(os.getpid()))
        shells.listen()
        passed = [theirs.fileno(), shells.fileno()]
        command = [sys.executable, "-m", "tests.forks", *map(str, passed)]
        subprocess.Popen(command, cwd=Path(__file__).parent.parent, pass_fds=passed)
    return mine


def _serve(requests: socket.socket, shells: socket.socket) -> NoReturn:
    """Fork for every request, and run its module in the fork. Exits with the tests."""
    for module in pkgutil.walk_packages(importlib.import_module("aoc_migrate").__path__, "aoc_migrate."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("sqlalchemy.dialects.postgresql.psycopg", "alembic.config"):
        importlib.import_module(name)
    if "COVERAGE_PROCESS_START" in os.environ:  # what only the imports ran is measured here, and in no fork
        importlib.import_module("coverage").Coverage.current().save()
    gc.collect()
    gc.freeze()  # a collection in a fork would write to every page that the forks share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asking = select.select([requests, shells], [], [])[0][0]
        client = asking if asking is requests else shells.accept()[0]
        asked, fds, _, _ = socket.recv_fds(client, MOST, 4)
        if not asked and client is requests:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            shells.close()
            module, words, environment, folder = json.loads(asked)
            _become(environment, folder, *fds)
            sys.argv[1:] = words
            _end(_run(module))
        for fd in fds:
            os.close(fd)
        if client is not requests:
            client.close()


def _become(environment: dict[str, str], folder: str, out: int, err: int, answers: int, *ins: int) -> None:
    """Fork once more: one of the two waits and answers, the other returns as the command."""
    pid = os.fork()
    if pid:
        for fd in (out, err, *ins):
            os.close(fd)
        with socket.socket(fileno=answers) as client:
            client.send(str(pid).encode())
            client.send(str(os.waitpid(pid, 0)[1]).encode())
        os._exit(0)
    os.close(answers)
    for number, fd in enumerate((ins[0] if ins else os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(fd, number)
        os.close(fd)
    for name, number in (("stdout", 1), ("stderr", 2)):  # the streams that were inherited may be those of a file
        stream = os.fdopen(number, "w", (-1, 1)[number - 1], encoding=sys.stdout.encoding, closefd=False)
        vars(sys).update({name: stream, f"__{name}__": stream})
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if test := environment.get("COVERAGE_TEST"):  # scripts/coverage asks which test this is
        importlib.import_module("coverage").Coverage.current().switch_context(test)


def _run(module: str) -> int:
    """Run a module as Python's -m does; return the exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does at the end
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as Python does, but destroy no object: each would be copied before it is, because forks share them."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
