"""What a run really locks, read from pg_locks after each of its statements.

A proxy shows each request of the run before the server gets it. What the request before it locked in a transaction
is then still locked. A statement outside a transaction lets its locks go at once, so we try it first in a
transaction of our own, and roll that back; one with CONCURRENTLY, which a transaction would refuse, meets a writer
whose transaction is open, and is seen while it waits for its end.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.conftest import Database
from tests.faults.proxy import Proxy, Then
from tests.helpers import wait_until

_NAMES = "AccessShare RowShare RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive"
MODES = ["", *(f"{name}Lock" for name in _NAMES.split())]
"""No lock, then the modes in growing order, as pg_locks spells them."""

OURS = r"aoc\_%|%\_quarantine%"
"""Our own tables and their indexes, as a pattern of SIMILAR TO: no service uses them."""
LOCKS = """SELECT c.relkind IN ('i', 'I'), c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.granted AND l.pid = ANY (%s) AND c.relname NOT SIMILAR TO %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)"""
_RUNS = """SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()
AND application_name LIKE 'aoc-migrate %' AND application_name NOT LIKE 'aoc-migrate watch%'"""
_LITERAL = re.compile("'[^']*'")
_READS = re.compile(
    r"\s*(SELECT|WITH|VALUES|SHOW|SET|\(SELECT|PREPARE aoc_plan_\d+|EXECUTE aoc_plan_\d+|DEALLOCATE)\b"
    r"(?!.*\b(INSERT|UPDATE|DELETE|MERGE|SHARE)\b)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Seen:
    """A statement, the number of its transaction, and the modes then on each table and view, and on indexes.

    What the transaction itself has made is not visible to others, and not counted.
    """

    sql: str
    transaction: int
    tables: dict[str, str]
    index: str

    @property
    def table(self) -> str:
        """The strongest mode on a table or view."""
        return strongest(self.tables.values())


def strongest(modes: Iterable[str]) -> str:
    """Return the strongest of several modes."""
    return max(modes, key=MODES.index, default=MODES[0])


def seen(connection: psycopg.Connection[Any], pids: list[int], sql: str, transaction: int) -> Seen:
    """Return what sessions lock now, after ``sql``."""
    tables, indexes = dict[str, str](), []
    for index, name, mode in connection.execute(LOCKS, [pids, OURS]):
        if index:
            indexes.append(mode)
        else:
            tables[name] = strongest([mode, tables.get(name, "")])
    return Seen(sql, transaction, tables, strongest(indexes))


@dataclass
class Trace:
    """The statements of a run on ``database``, in order, with what they lock."""

    database: Database
    seen: list[Seen] = field(default_factory=list)
    _last: str = ""
    _transaction: int = 0
    _writers: list[threading.Thread] = field(default_factory=list)

    def judge(self, sql: str) -> Then:
        """See what the last statement of a transaction has locked, or what this one will lock outside of one."""
        if self._last:
            self._note(self.database.connection, self.database.value(_RUNS), self._last)
            self._last = "" if sql in ("COMMIT", "ROLLBACK") else sql
        elif sql.startswith("BEGIN"):
            self._last = sql
            self._transaction += 1
        elif "CONCURRENTLY" in sql:
            self._transaction += 1
            self._meet_writer(sql)
        elif not _READS.match(_LITERAL.sub("''", sql)):
            self._transaction += 1
            with psycopg.connect(self.database.url) as connection:
                connection.execute(sql.encode())
                self._note(connection, [connection.info.backend_pid], sql)
                connection.rollback()
        return Then.PASS

    def _note(self, connection: psycopg.Connection[Any], pids: list[int], sql: str) -> None:
        self.seen.append(seen(connection, pids, sql, self._transaction))

    def _meet_writer(self, sql: str) -> None:
        """Let a writer's transaction be open until the statement waits for it."""
        writer = psycopg.connect(self.database.url)
        writer.execute(f"LOCK TABLE {self.database.table} IN ROW EXCLUSIVE MODE".encode())
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid))"

        def see() -> None:
            with writer, psycopg.connect(self.database.url, autocommit=True) as observer:
                wait_until(lambda: observer.execute(waits, [writer.info.backend_pid]).fetchone() != (0,))
                runs = observer.execute(_RUNS).fetchone()
                self._note(observer, runs[0] if runs else [], sql)

        self._writers.append(threading.Thread(target=see))
        self._writers[-1].start()

    def join(self) -> None:
        """Wait until every writer has ended."""
        for writer in self._writers:
            writer.join()


@contextmanager
def traced(database: Database) -> Iterator[tuple[Trace, str]]:
    """Yield a trace, and the URL that leads to the database through its proxy."""
    info, trace = database.connection.info, Trace(database)
    with Proxy(info.host, info.port, trace.judge) as proxy:
        url = database.url.replace(f"@{info.host}:{info.port}/", f"@127.0.0.1:{proxy.port}/")
        yield trace, f"{url}?sslmode=disable&gssencmode=disable"
        trace.join()
