"""Commands as forks of a process that has everything imported: each still a process of its own, without the wait.

Importing Alembic and SQLAlchemy is most of what a command costs on a small table. Tests of the start itself, of
signals and of kills start their processes as a user does.
"""

import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

Outcome = tuple[int, str, str]
MOST = 1_000_000  # bytes of a message: the words and the environment of a command


def run(words: tuple[str, ...], environment: dict[str, str], seconds: float) -> Outcome:
    """Run a command; return its exit code, stdout and stderr. Raises TimeoutError, after killing it."""
    asked = json.dumps([words, environment, str(Path.cwd())]).encode()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine, theirs:
            socket.send_fds(_server(), [asked], [out.fileno(), err.fileno(), theirs.fileno()])
            theirs.close()
            pid = int(mine.recv(100))
            if not select.select([mine], [], [], seconds)[0]:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError(f"{' '.join(words)} did not end within {seconds} s")
            status = int(mine.recv(100))
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), out.read(), err.read()


@cache
def _server() -> socket.socket:
    """Start the process that forks, once for each that runs tests; it ends when this one does."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
    with theirs:
        command = [sys.executable, "-m", "tests.forks", str(theirs.fileno())]
        subprocess.Popen(command, cwd=Path(__file__).parent.parent, pass_fds=[theirs.fileno()])
    return mine


def _serve(requests: socket.socket) -> None:
    """Fork for every request. Returns in the fork, which then is the command; exits with the tests."""
    for module in pkgutil.walk_packages(importlib.import_module("aoc_migrate").__path__, "aoc_migrate."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("sqlalchemy.dialects.postgresql.psycopg")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, fds, _, _ = socket.recv_fds(requests, MOST, 3)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            _become(*json.loads(asked), *fds)
            return
        for fd in fds:
            os.close(fd)


def _become(words: list[str], environment: dict[str, str], folder: str, out: int, err: int, answers: int) -> None:
    """Fork once more: one of the two waits and answers, the other returns as the command."""
    pid = os.fork()
    if pid:
        with socket.socket(fileno=answers) as client:
            client.send(str(pid).encode())
            client.send(str(os.waitpid(pid, 0)[1]).encode())
        os._exit(0)
    os.close(answers)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = words
    if test := environment.get("COVERAGE_TEST"):  # scripts/coverage asks which test this is
        importlib.import_module("coverage").Coverage.current().switch_context(test)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from aoc_migrate.cli import main

    main()
