"""How a statement runs: under a strong lock with a bounded stall, under a weak one, or printed as SQL.

The lock order of a strong step (design.md 6): SHARE UPDATE EXCLUSIVE first, with five seconds, because an
autovacuum yields only to a waiter that outlasts ``deadlock_timeout``, and nobody who reads or writes waits
for that lock; then the strong lock, with ``--max-stall`` as both ``lock_timeout`` and ``statement_timeout``.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from aoc_migrate.database.lock import assert_held
from aoc_migrate.database.session import Row, Session, first_line
from aoc_migrate.database.settings import Limits
from aoc_migrate.report.model import Finding, Stopped, make

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

RUNTIME = "aoc_session"
PATIENCE = 5.0  # seconds for the weak lock; more than deadlock_timeout, so that an autovacuum yields

_TRY_AGAIN = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
)

_BLOCKERS = """
SELECT l.pid, a.usename AS role, a.application_name AS application, a.state,
       extract(epoch FROM now() - a.xact_start)::int AS seconds, max(l.mode) AS mode
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = to_regclass(quote_ident(%s)) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY 1, 2, 3, 4, 5 ORDER BY 5 DESC NULLS FIRST LIMIT 5
"""


def migration() -> "MigrationContext":
    """Return Alembic's context. Imported late: a command that changes nothing never loads Alembic."""
    from alembic import op

    return op.get_context()


def online() -> Session | None:
    """Return the session that this revision runs on, or None when it is rendered with ``--sql``."""
    context = migration()
    session = context.opts.get(RUNTIME)
    return None if context.as_sql or not isinstance(session, Session) else session


def emit(*statements: str) -> None:
    """Print statements of the offline script."""
    for statement in statements:
        migration().impl.static_output(f"{statement};")


@dataclass(frozen=True)
class _Step:
    """One transaction under a strong lock: what precedes the lock, and what runs while it is held."""

    table: str
    statements: Sequence[str]
    before: Sequence[str]
    optional: bool
    label: str

    def locks(self, limits: Limits) -> list[str]:
        """Return the statements that take the locks in their order."""
        patience = f"'{round(min(PATIENCE, limits.deadline) * 1000)}ms'"
        stall = f"'{round(limits.max_stall * 1000)}ms'"
        return [
            f"SET LOCAL lock_timeout = {patience}",
            _lock(self.table, "SHARE UPDATE EXCLUSIVE", self.optional),
            f"SET LOCAL lock_timeout = {stall}",
            f"SET LOCAL statement_timeout = {stall}",
            "SET LOCAL synchronous_commit = off",
            _lock(self.table, "ACCESS EXCLUSIVE", self.optional),
        ]


def strong(
    table: str,
    statements: Sequence[str],
    before: Sequence[str] = (),
    *,
    optional: bool = False,
    label: str = "",
) -> None:
    """Run ``statements`` in one transaction under ACCESS EXCLUSIVE on ``table``; ``before`` precede the lock.

    ``optional``: ``table`` may not exist; then there is nothing to lock. ``label``: the step's name in
    reports, where its first ALTER does not tell enough. Tried again until it works. Raises Stopped
    ``deadline`` (exit 3) after ``limits.deadline`` seconds, with nothing changed, and ``step-failed`` for any
    other error.
    """
    step = _Step(table, statements, before, optional, label or title(statements))
    session = online()
    if session is None:
        emit(*before, *step.locks(Limits()), *statements)
        return
    with migration().autocommit_block():
        _retry(session, step)


def _lock(table: str, mode: str, optional: bool) -> str:
    lock = f"LOCK TABLE {table} IN {mode} MODE"
    if not optional:
        return lock
    return f"""DO $aoc$
BEGIN
  IF to_regclass('{table}') IS NOT NULL THEN
    {lock};
  END IF;
END $aoc$"""


def _retry(session: Session, step: _Step) -> None:
    begun, delay, attempts = time.monotonic(), 1.0, 0
    while True:
        assert_held(session)
        attempts += 1
        try:
            times = _try(session, step)
        except _TRY_AGAIN as error:
            waited, reason = time.monotonic() - begun, first_line(error, session.target)
            if waited + delay > session.limits.deadline:
                raise Stopped(gave_up(session, step.table, waited, attempts)) from None
            session.say(f"{step.table}: try {attempts} gave up ({reason}). {blockers(session, step.table)}")
            time.sleep(random.uniform(delay / 2, delay))  # noqa: S311
            delay = min(delay * 2, 5.0)
        except psycopg.Error as error:
            raise Stopped(failed(session, step.label, error)) from None
        else:
            session.steps.append({"statement": step.label, "attempts": attempts, **times})
            return


def _try(session: Session, step: _Step) -> Row:
    *weak_first, strong_lock = [*step.before, *step.locks(session.limits)]
    with session.connection.transaction():
        for statement in weak_first:
            session.run(statement)
        asked = time.monotonic()
        session.run(strong_lock)
        held = time.monotonic()
        for statement in step.statements:
            session.run(statement)
    return {
        "waited_ms": round((held - asked) * 1000, 1),
        "held_ms": round((time.monotonic() - held) * 1000, 1),
    }


def blockers(session: Session, table: str) -> str:
    """Return in words who holds a lock on ``table`` (pid, role, application, state, age); no query text."""
    rows = session.rows(_BLOCKERS, (table,))
    if not rows:
        return "Whoever blocked it has ended meanwhile."
    return "Held by " + "; ".join(_blocker(row) for row in rows) + "."


def _blocker(row: Row) -> str:
    if row["pid"] is None:
        return f"a prepared transaction ({row['mode']})"
    if row["state"] is None:
        return f"pid {row['pid']} ({row['mode']}, an autovacuum or another session we may not see)"
    age = "" if row["seconds"] is None else f", transaction open for {row['seconds']} s"
    return f"pid {row['pid']} ({row['role']}, {row['application']!r}, {row['state']}{age}, {row['mode']})"


def gave_up(session: Session, table: str, waited: float, attempts: int) -> Finding:
    """Return the finding ``deadline``: how long and how often we tried, who blocks, and how to end that."""
    pids = [row["pid"] for row in session.rows(_BLOCKERS, (table,)) if row["pid"] is not None]
    end = f"SELECT pg_terminate_backend({pids[0]});" if pids else "SELECT * FROM pg_prepared_xacts;"
    return make(
        "deadline",
        table,
        waited=f"{waited:.0f} s",
        attempts=attempts,
        blockers=blockers(session, table),
        remedy=f"End what blocks (for example: {end}) and run the same command again.",
    )


def weak(table: str, statement: str, *, patience: float | None = None) -> None:
    """Run a statement whose lock blocks no reader or writer, by itself, outside a transaction.

    ``patience``: seconds to wait for locks; None is ``limits.deadline``, 0 is without end (an index build
    that gives up leaves an INVALID index). Raises Stopped ``deadline`` (exit 3) or ``step-failed``.
    """
    session = online()
    with migration().autocommit_block():
        if session is None:
            emit(statement)
            return
        assert_held(session)
        seconds = session.limits.deadline if patience is None else patience
        session.set("lock_timeout", f"{round(seconds * 1000)}ms")
        try:
            with _timed(session, statement):
                session.run(statement)
        except psycopg.errors.LockNotAvailable:
            raise Stopped(gave_up(session, table, seconds, 1)) from None
        except psycopg.Error as error:
            raise Stopped(failed(session, title([statement]), error)) from None
        finally:
            if not session.connection.closed:
                session.set("lock_timeout", "0")


@contextmanager
def _timed(session: Session, statement: str) -> Iterator[None]:
    begun = time.monotonic()
    session.say(f"{session.target.name}: {title([statement])} …")
    yield
    took = round((time.monotonic() - begun) * 1000, 1)
    session.steps.append({"statement": title([statement]), "attempts": 1, "total_ms": took})


def title(statements: Sequence[str]) -> str:
    """Return the first words of a step's first ALTER or CREATE, for logs and reports."""
    telling = [s for s in statements if s.startswith(("ALTER", "CREATE", "DROP"))]
    line = " ".join((telling or statements)[0].split())
    return line if len(line) <= 72 else line[:71] + "…"


def failed(session: Session, step: str, error: psycopg.Error) -> Finding:
    """Return the finding for a step that failed: constraint and message, never DETAIL."""
    return make("step-failed", step, reason=first_line(error, session.target).rstrip("."))
