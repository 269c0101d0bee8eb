"""A command that breaks at one of its requests: the client is killed, or the backend, or the answer is lost."""

import os
import signal
import threading

from psycopg.conninfo import make_conninfo

from tests.conftest import Aoc, Database
from tests.faults.proxy import Proxy, Then
from tests.helpers import wait_until

FAULTS = {
    "killed before it asks": Then.DROP,
    "killed after it asked": Then.SEND,
    "backend terminated": Then.PASS,
    "answer lost": Then.ANSWERED,
}
_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_RUNNING = f"{_OURS} AND application_name LIKE 'aoc-migrate %' AND application_name NOT LIKE 'aoc-migrate watch %'"


def broken(database: Database, aoc: Aoc, words: list[str], request: int, fault: str) -> int:
    """Run a command and break it at its ``request``-th request; return its exit code, -9 if it was killed."""
    info, known, started = database.connection.info, list[int](), threading.Event()
    seen = 0

    def judge(_: str) -> Then:
        nonlocal seen
        seen += 1
        if seen != request:
            return Then.PASS
        started.wait(10)
        _break(database, fault, known[0])
        return FAULTS[fault]

    with Proxy(info.host, info.port, judge) as proxy:
        through = make_conninfo(database.url, host="127.0.0.1", port=proxy.port, sslmode="disable")
        variable = f"{database.target.upper()}_DATABASE_URL"
        process = aoc.start(*words, **{variable: through})
        known.append(process.pid)
        started.set()
        out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err and "AOC_DEBUG" not in out + err, err
    alone(database)
    return process.wait()


def _break(database: Database, fault: str, pid: int) -> None:
    if fault.startswith("killed"):
        os.kill(pid, signal.SIGKILL)
    elif fault == "backend terminated":
        database.run(f"SELECT pg_terminate_backend(pid, 5000) {_RUNNING}")


def alone(database: Database) -> None:
    """Wait until no session but our own is left in the database."""
    wait_until(lambda: database.value(f"SELECT count(*) {_OURS}") == 0, seconds=60)
