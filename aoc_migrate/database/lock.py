"""The lock between runners: one at a time migrates a schema.

A session-level advisory lock on the very backend that runs the DDL, so it is held as long as a build that
outlives its client. It is polled: a blocking waiter deadlocks with CREATE INDEX CONCURRENTLY
(`reference/peers.md` 0.1).
"""

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session, application_name
from aoc_migrate.report.model import Stopped, make

_HELD = """
SELECT a.pid, a.application_name, a.usename, l.pid = pg_backend_pid() AS ours,
       extract(epoch FROM clock_timestamp() - a.backend_start)::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = %s::bigint
"""


def lock_key(target: str, schema: str) -> int:
    """Return the 64-bit key of the lock on ``target`` in ``schema``."""
    digest = hashlib.sha256(f"aoc-migrate/{target}/{schema}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


@contextmanager
def runner_lock(session: Session) -> Iterator[None]:
    """Hold the runners' lock. Raises Stopped ``lock-held`` (exit 3) after ``limits.lock_wait`` seconds."""
    key = lock_key(session.target.name, session.target.schema)
    _acquire(session, key)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is gone has let go of its locks
            session.connection.rollback()
            session.value("SELECT pg_advisory_unlock(%s::bigint)", (key,))


def announce(session: Session, step: str) -> None:
    """Say in pg_stat_activity what comes next, for those who wait; stop when the lock is not ours any more.

    Raises Stopped ``lock-lost`` (a pooler, a reset session).
    """
    key = lock_key(session.target.name, session.target.schema)
    if not any(row["ours"] for row in session.rows(_HELD, (key,))):
        raise Stopped(make("lock-lost", session.target.name))
    session.set("application_name", application_name(session.command, step))
    if session.tape:
        session.tape.comment(step)
    if session.on_step:
        session.on_step(step)


def holder(session: Session) -> str | None:
    """Return who holds the lock, since when, and at which revision the database is; None if nobody does."""
    rows = session.rows(_HELD, (lock_key(session.target.name, session.target.schema),))
    if not rows:
        return None
    row = rows[0]
    since = "" if row["seconds"] is None else f", for {row['seconds']} s"
    revision = ", ".join(catalog.revisions(session)) or "base"
    return f"pid {row['pid']}, {row['application_name']!r}, role {row['usename']}{since}, at {revision}"


def _acquire(session: Session, key: int) -> None:
    begun, told = time.monotonic(), 0.0
    while not session.value("SELECT pg_try_advisory_lock(%s::bigint)", (key,)):
        waited = time.monotonic() - begun
        held_by = holder(session) or "a session that has just let go"
        if waited >= session.limits.lock_wait:
            raise Stopped(make("lock-held", session.target.name, holder=held_by, waited=f"{waited:.0f} s"))
        if waited >= told:
            session.say(f"waiting for another run ({held_by}), {waited:.0f} s so far")
            told = waited + 5
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311
