"""Transactions that keep dead rows from being cleaned, and that a concurrent index build waits for."""

from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.backends import sessions_of
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.report.formatting import seconds_shown

MOST = 12
RECOVERED = 120  # seconds; Citus commits on several nodes by prepared ones, and ends forgotten ones every minute
# VACUUM holds a snapshot that neither keeps a dead row nor makes an index build wait (PROC_IN_VACUUM).
_OLD_TRANSACTIONS = (
    "SELECT pid, usename AS role, application_name AS application, "
    "extract(epoch FROM now() - xact_start)::int AS seconds FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' "
    "AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS vacuum WHERE vacuum.pid = pg_stat_activity.pid) "
    "AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) "
    f"AND xact_start < now() - make_interval(secs => %s) ORDER BY xact_start LIMIT {MOST}"
)
_PREPARED = (
    "SELECT gid, owner::text, extract(epoch FROM now() - prepared)::int AS seconds FROM pg_prepared_xacts "
    f"WHERE database = current_database() ORDER BY prepared LIMIT {MOST}"
)


def old_transactions(session: Session, seconds: float) -> list[str]:
    """Return who has held a snapshot or an id of this database for longer than ``seconds``, the oldest first."""
    rows = everywhere(session, "old transactions", _OLD_TRANSACTIONS, (seconds,))
    if session.on_cluster:
        own = session.connection.info.backend_pid
        rows = [row for row in sessions_of(session, rows) if row["node"] or row["pid"] != own]
        rows = sorted(rows, key=lambda row: -(row["seconds"] or 0))[:MOST]
    return [
        f"pid {r['pid']}{on(r)} ({r['role']}, {r['application']!r}, open for {seconds_shown(r['seconds'] or 0)})"
        for r in rows
    ]


def prepared(session: Session) -> list[Row]:
    """Return the prepared transactions of this database, the oldest first, without those that Citus soon ends."""
    rows = everywhere(session, "prepared transactions", _PREPARED)
    if not session.on_cluster:
        return rows
    return [row for row in rows if row["seconds"] >= RECOVERED or not row["gid"].startswith("citus_")]
