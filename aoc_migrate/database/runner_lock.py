"""The run lock: one run at a time migrates a schema.

A session-level advisory lock on the backend that runs the DDL, so a build that outlives its client still holds
it. Runners poll for it: a blocking waiter deadlocks with CREATE INDEX CONCURRENTLY
(`reference/peers.md` 0.1).
"""

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.own_name import application_name
from aoc_migrate.database.relation import typed
from aoc_migrate.database.session import Row, Session
from aoc_migrate.errors import Abort
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import finding

SECONDS_BETWEEN_LINES = 5.0

HELD = """
SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application,
  coalesce(a.usename, p.owner)::text AS role, p.gid,
  extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own
  ON own.transactionid = p.transaction) ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = {key} ORDER BY l.pid
"""
"""The holders of the lock: sessions, which may share it, or a prepared transaction, which has no session."""
_HELD = HELD.format(key="%s::bigint")


def lock_key(target: str, schema: str) -> int:
    """Return the 64-bit key of the lock on ``target`` in ``schema``."""
    digest = hashlib.sha256(f"aoc-migrate/{target}/{schema}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


@contextmanager
def runner_lock(session: Session) -> Iterator[None]:
    """Hold the run lock, and be steered. Raises Abort ``lock-held`` (exit 3) after ``limits.lock_wait``."""
    from aoc_migrate.database.obeying import steered  # a run with nothing to do needs none of it

    key = lock_key(session.target.name, session.target.schema)
    _acquire(session, key)
    session.plans = {}  # the session is ours alone
    try:
        with steered(session):
            yield
    finally:
        session.plans = None
        with suppress(psycopg.Error):  # a lost connection has released its locks
            session.connection.rollback()
            session.quietly("DEALLOCATE ALL")  # a pooler may give this session to others
            session.value("SELECT pg_advisory_unlock(%s::bigint)", (key,))


def announce(session: Session, step: str, *, strong: bool = False) -> None:
    """Show the next step in pg_stat_activity, for those who wait, and pause before it if that is asked for.

    ``strong``: it takes a strong lock. Raises Abort ``lock-lost`` where the lock is no longer ours (a pooler, a
    reset session).
    """
    from aoc_migrate.database.obeying import obey

    _assert_ours(session)
    session.set("application_name", application_name(session.command, step))
    if session.transcript:
        session.transcript.comment(step)
    if session.on_step:
        session.on_step(step)
    if obey(session, step, strong=strong):
        _assert_ours(session)


def _assert_ours(session: Session) -> None:
    key = lock_key(session.target.name, session.target.schema)
    if not any(row["ours"] for row in session.rows(_HELD, (key,))):
        raise Abort(finding("lock-lost", session.target.name))


def holder(session: Session) -> str | None:
    """Return who holds the lock, since when, and the revision of the database; None where nobody holds it."""
    rows = holders(session)
    return _words(session, rows) if rows else None


def holders(session: Session) -> list[Row]:
    """Return who holds the lock: pid, application, role, and the seconds since it connected.

    What this role may not see of them is None; a prepared transaction has no pid.
    """
    return session.rows(_HELD, (lock_key(session.target.name, session.target.schema),))


def runners(session: Session) -> list[Row]:
    """Return the sessions that hold the lock: pid, application, and the seconds of the running statement.

    What this role may not see of them is None.
    """
    key = lock_key(session.target.name, session.target.schema)
    return session.rows(
        "SELECT h.pid, h.application, CASE WHEN a.state = 'active' THEN "
        "extract(epoch FROM clock_timestamp() - a.query_start)::float8 END AS seconds "
        f"FROM ({_HELD}) AS h JOIN pg_stat_activity AS a ON a.pid = h.pid",
        (key,),
    )


def _words(session: Session, rows: list[Row]) -> str:
    revision = ", ".join(catalog.revisions(session)) or "base"
    return f"{'; '.join(map(_name, rows))}; at {revision}"


def _name(row: Row) -> str:
    """Return who a holder is. Its application name is data: any session may call itself aoc-migrate."""
    if row["pid"] is None:
        return f"prepared transaction {row['gid']!r} of role {row['role']!r}, {seconds_shown(row['seconds'])} old"
    if row["role"] is None:
        return f"pid {row['pid']}, of which this role sees no more"
    since = "this role may not see since when (pg_read_all_stats may)"
    if row["seconds"] is not None:
        since = f"connected for {seconds_shown(row['seconds'])}"
    known = "says it is" if str(row["application"]).startswith("aoc-migrate ") else "does not say it is"
    name = f"{row['application']!r}, role {row['role']!r}"
    return f"pid {row['pid']}, {name}, {since}, {known} aoc-migrate"


def _ending(row: Row) -> str:
    """Return the statement that ends a holder."""
    if row["pid"] is None:
        return f"ROLLBACK PREPARED {typed(row['gid'])};" if row["gid"] else "SELECT * FROM pg_prepared_xacts;"
    return f"SELECT pg_terminate_backend({row['pid']});"


def _acquire(session: Session, key: int) -> None:
    begun, line = time.monotonic(), EverySeconds(SECONDS_BETWEEN_LINES)
    while not session.value("SELECT pg_try_advisory_lock(%s::bigint)", (key,)):
        waited = time.monotonic() - begun
        rows = session.rows(_HELD, (key,))
        held_by = _words(session, rows) if rows else "a session that has just released it"
        if waited >= session.limits.lock_wait:
            ending = " ".join(map(_ending, rows)) or "nothing to do, it has ended."
            words = {"holder": held_by, "ending": ending, "waited": seconds_shown(waited)}
            raise Abort(finding("lock-held", session.target.name, **words))
        if line.due():
            message = f"waiting for another run ({held_by}), {seconds_shown(waited)} so far"
            session.say(message, "waiting", waits_for=held_by, waited_seconds=round(waited, 1))
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311
