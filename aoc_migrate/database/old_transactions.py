"""Transactions that keep dead rows from being cleaned, and that a concurrent index build waits for."""

from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.formatting import seconds_shown

_OLD_TRANSACTIONS = (
    "SELECT pid, usename AS role, application_name AS application, "
    "extract(epoch FROM now() - xact_start)::int AS seconds FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' "
    "AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) "
    "AND xact_start < now() - make_interval(secs => %s) ORDER BY xact_start LIMIT 12"
)
_PREPARED = (
    "SELECT gid, owner::text, extract(epoch FROM now() - prepared)::int AS seconds FROM pg_prepared_xacts "
    "WHERE database = current_database() ORDER BY prepared LIMIT 12"
)


def old_transactions(session: Session, seconds: float) -> list[str]:
    """Return who has held a snapshot or an id of this database for longer than ``seconds``, the oldest first."""
    rows = session.rows(_OLD_TRANSACTIONS, (seconds,))
    return [
        f"pid {r['pid']} ({r['role']}, {r['application']!r}, open for {seconds_shown(r['seconds'])})" for r in rows
    ]


def prepared(session: Session) -> list[Row]:
    """Return the prepared transactions of this database, the oldest first."""
    return session.rows(_PREPARED)
