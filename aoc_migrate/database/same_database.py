"""Whether two connection strings lead to one database, whatever they look like."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target, read_targets
from aoc_migrate.errors import Abort, refused
from aoc_migrate.report.model import Finding, finding

_SEEN = """SELECT pg_is_in_recovery() AS standby, EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
  AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s::bigint
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS seen"""


def in_doubt(session: Session) -> list[Finding]:
    """Return a finding for each configured database that may be that of ``session``, because it cannot be asked.

    An advisory lock is taken through one connection and searched for through the other: host names, ports and
    poolers cannot hide it, and a restored copy does not have it. Raises Abort (exit 2) where it is seen.
    """
    found = []
    with marked(session) as key:
        for other in read_targets().values():
            try:
                with connect(other, session.command, session.limits, session.flags) as there:
                    row = there.row(_SEEN, (key,))
            except Abort as stopped:
                found.append(_doubt(session, other, stopped.finding.problem.rstrip(".")))
                continue
            if row["seen"]:
                raise refused(
                    f"{session.target.variable} and {other.variable} lead to the same database, which a rehearsal "
                    f"must not change. Restore a copy, and let {session.target.variable} lead to that."
                )
            if row["standby"]:
                found.append(_doubt(session, other, "It is a standby, and the copy could be its primary"))
    return found


@contextmanager
def marked(session: Session) -> Iterator[int]:
    """Hold an advisory lock with a random key, by which other sessions know the database. Yields the key."""
    key = secrets.randbits(63)
    session.value("SELECT pg_advisory_lock(%s::bigint)", (key,))
    try:
        yield key
    finally:
        with suppress(psycopg.Error):
            session.value("SELECT pg_advisory_unlock(%s::bigint)", (key,))


def is_marked(session: Session, key: int) -> bool:
    """Return whether this session's database is the one in which that lock is held."""
    return bool(session.row(_SEEN, (key,))["seen"])


def _doubt(session: Session, other: Target, reason: str) -> Finding:
    values = {"url": session.target.variable, "variable": other.variable, "reason": reason}
    return finding("copy-in-doubt", other.name, **values)
