"""Signal: the query of --throttle-query returns true.

Its text may hold anything, and PostgreSQL quotes the text in its errors: neither is printed. An error is named by
its SQLSTATE.
"""

import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, cast

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from aoc_migrate.database.error_text import named
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.throttle.signal import Signal, SignalError, WritingStep
from aoc_migrate.database.worker_path import begun
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import finding

LONGEST = 1.0  # seconds of the query
SECONDS_AFTER_ERROR = 10.0  # each error is a line in the server's log

_BOOLEAN = 16  # pg_type.oid of bool, which is also what a domain over bool is sent as
_SCHEMA = "; names outside pg_catalog need their schema"
_ERRORS = {
    "25006": "it writes, and its transaction is read-only",
    "42601": "a syntax error, or more than one statement",
    "42883": f"undefined function or operator{_SCHEMA}",
    "42P01": f"undefined table{_SCHEMA}",
    "42704": f"undefined object{_SCHEMA}",
}


class OperatorQuery(Signal):
    """A query of the operator's own: it runs as typed, alone and read-only, on a connection of its own."""

    kind = "query"
    what = "what --throttle-query answers"
    remedy = "Wait until it returns false, or run without it."

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self._other: Session | None = None
        self._failed: tuple[float, SignalError] | None = None

    def reason(self) -> str | None:
        """Return that the query returns true. Raises SignalError, which the report shows as well."""
        query = self.session.limits.throttle_query
        if query is None:
            return None
        if self._failed and time.monotonic() - self._failed[0] < SECONDS_AFTER_ERROR:
            raise self._failed[1]
        try:
            stops = self._answer(query.encode(errors="surrogateescape"))
        except SignalError as error:
            self._failed = time.monotonic(), error
            self._report(str(error))
            raise
        return "the query of --throttle-query returns true" if stops else None

    def _answer(self, query: bytes) -> bool:
        """Return what the query returns. It is run only if the server says that it returns one boolean column."""
        begin = time.monotonic()
        try:
            other = self._connected()
            with begun(other.connection, other.on_cluster, force_rollback=True):
                other.run(f"SET LOCAL statement_timeout = '{round(LONGEST * 1000)}ms'")
                if _columns(other.connection, query) != [_BOOLEAN]:
                    raise SignalError("it must return one column, of type boolean")
                answers = _first_rows(other.connection, query)
        except Abort:
            raise SignalError("no connection of its own could be opened") from None
        except psycopg.errors.QueryCanceled:
            late = time.monotonic() - begin >= LONGEST
            raise SignalError(f"it took longer than {LONGEST:.0f} s" if late else "it was canceled") from None
        except psycopg.Error as error:
            if self._other and self._other.connection.closed:
                self._other = None
            raise SignalError(_named(error.sqlstate)) from None
        if len(answers) != 1:
            raise SignalError("it must return one row, and returned " + ("more" if answers else "none"))
        if answers[0] is None:
            raise SignalError("it returned NULL")
        return answers[0]

    def _connected(self) -> Session:
        """Return the query's own session, which is opened on first use and after it was lost."""
        if self._other is None:
            session = self.session
            self._other = self.opened.enter_context(
                connect(session.target, "throttle", session.limits, session.flags)
            )
            self._other.on_cluster = session.on_cluster
            self._other.connection.read_only = True
        return self._other

    def _report(self, reason: str) -> None:
        if self.what not in self.session.unseen:
            words = {"label": self.step.label, "reason": reason}
            self.session.findings.append(finding("throttle-query-failed", self.step.table, **words))


def _columns(connection: psycopg.Connection[Any], query: bytes) -> list[int]:
    """Return the types of the columns that a query returns, without running it.

    The extended protocol takes a single statement only.
    """
    pgconn = connection.pgconn
    for ask in (partial(pgconn.prepare, b"", query), partial(pgconn.describe_prepared, b"")):
        result = ask()
        if result.status != ExecStatus.COMMAND_OK:
            raise error_from_result(result)
    return [result.ftype(n) for n in range(result.nfields)]


def _first_rows(connection: psycopg.Connection[Any], query: bytes) -> list[bool | None]:
    """Return the values of the first two rows, and cancel the rest."""
    with closing(cast("Generator[tuple[bool | None]]", connection.cursor().stream(query))) as rows:
        return [value for (value,) in islice(rows, 2)]


def _named(sqlstate: str | None) -> str:
    """Return the words for an error that PostgreSQL gives a SQLSTATE, never its message."""
    if not sqlstate:
        return "its connection was lost"
    return f"{_ERRORS[sqlstate]} (SQLSTATE {sqlstate})" if sqlstate in _ERRORS else named(sqlstate)
