"""A second connection that looks at us from outside while a statement waits or builds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from aoc_migrate.database.session import Row, Session, connect
from aoc_migrate.report.model import Stopped

_BLOCKERS = """
WITH ahead AS (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(%s)) AS pid)
SELECT a.pid, a.usename AS role, a.application_name AS application, a.state, a.query, NULL AS gid,
  extract(epoch FROM now() - a.xact_start)::int AS seconds,
  a.backend_type = 'autovacuum worker' AS autovacuum, a.query LIKE '%%(to prevent wraparound)' AS wraparound,
  EXISTS (SELECT FROM pg_locks w JOIN pg_locks m ON m.pid = %s AND NOT m.granted
    AND (m.locktype, m.relation) IS NOT DISTINCT FROM (w.locktype, w.relation)
    WHERE w.pid = a.pid AND NOT w.granted) AS waits
FROM ahead JOIN pg_stat_activity a ON a.pid = ahead.pid
UNION ALL
SELECT 0, p.owner, NULL, 'prepared', NULL, p.gid, extract(epoch FROM now() - p.prepared)::int, false, false, false
FROM ahead, pg_prepared_xacts p WHERE ahead.pid = 0 AND p.database = current_database() AND EXISTS (
  SELECT FROM pg_locks h JOIN pg_locks m ON m.pid = %s AND NOT m.granted
    AND (m.relation = h.relation OR m.transactionid = h.transactionid OR m.virtualxid = h.virtualxid)
  WHERE h.granted AND split_part(h.virtualtransaction, '/', 2) = p.transaction::text)
ORDER BY waits, seconds DESC NULLS LAST
"""
_QUEUED = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND %s = ANY (pg_blocking_pids(pid))"
)


@contextmanager
def watched(session: Session, look: Callable[[Session, int], bool], every: float) -> Iterator[None]:
    """Call ``look`` with another session and our backend's pid every so many seconds, until it returns True.

    Where no second connection is to be had, the block runs unwatched, and the log says so.
    """
    ended = threading.Event()
    pid = session.connection.info.backend_pid

    def watch() -> None:
        try:
            with connect(session.target, "watch", session.limits, session.flags) as other:
                while not ended.wait(every):
                    if look(other, pid):
                        return
        except (psycopg.Error, Stopped) as error:
            session.say(f"{session.target.name}: nobody watches this step ({type(error).__name__}); it goes on")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class Stall:
    """Who stood before us in the queue for a lock, and how many stood behind us, as far as it was seen."""

    def __init__(self, session: Session) -> None:
        self.show_queries = session.limits.show_queries
        self.ahead: list[Row] = []
        self.behind = 0

    def look(self, other: Session, pid: int) -> bool:
        """Note who blocks ``pid`` now; for `watched`."""
        ahead = other.rows(_BLOCKERS, (pid, pid, pid))
        if ahead:
            self.ahead = ahead
            self.behind = max(self.behind, other.value(_QUEUED, (pid,)))
        return False

    def words(self) -> str:
        """Return who blocked (pid, role, application, state, age) and the queue behind us."""
        if not self.ahead:
            return "Whoever blocked it was not seen."
        named = "; ".join(self._name(row) for row in self.ahead[:5])
        behind = f" {self.behind} sessions waited behind us." if self.behind else ""
        return f"Before us: {named}.{behind}"

    def remedy(self) -> str:
        """Return the statement that ends one of them."""
        for row in self.ahead:
            if row["gid"] is not None:
                return f"ROLLBACK PREPARED '{row['gid']}';"
            if not row["waits"]:
                return f"SELECT pg_terminate_backend({row['pid']});"
        return "SELECT * FROM pg_stat_activity WHERE state <> 'idle' ORDER BY xact_start;"

    def _name(self, row: Row) -> str:
        age = "" if row["seconds"] is None else f", open for {row['seconds']} s"
        if row["gid"] is not None:
            return f"prepared transaction {row['gid']!r} of {row['role']}{age}"
        if row["autovacuum"]:
            kind = "to prevent wraparound, which does not yield" if row["wraparound"] else "which will yield"
            return f"pid {row['pid']} (autovacuum {kind}{age})"
        how = "waits as we do" if row["waits"] else "holds it"
        text = f", query {row['query']!r}" if self.show_queries else ""
        state = row["state"] or "a session we may not see"
        return f"pid {row['pid']} ({row['role']}, {row['application']!r}, {state}{age}, {how}{text})"
