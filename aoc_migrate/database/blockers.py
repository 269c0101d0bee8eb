"""A second connection that looks at us from outside while a statement waits or builds."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation, typed
from aoc_migrate.database.session import Row, Session, connect
from aoc_migrate.errors import Abort

# A lock without a backend is a prepared transaction's, which holds one on its own id as well.
_SESSIONS = """
SELECT a.pid, a.usename AS role, a.application_name AS application, a.state, a.query, NULL AS gid,
  extract(epoch FROM now() - a.xact_start)::int AS seconds,
  a.backend_type = 'autovacuum worker' AS autovacuum, a.query LIKE '%%(to prevent wraparound)' AS wraparound,
  ahead.waits
FROM ahead JOIN pg_stat_activity a ON a.pid = ahead.pid
UNION ALL
SELECT 0, p.owner, NULL, 'prepared', NULL, p.gid, extract(epoch FROM now() - p.prepared)::int, false, false, false
FROM ahead JOIN pg_locks own ON own.locktype = 'transactionid' AND own.pid IS NULL
  AND own.virtualtransaction = ahead.prepared
JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
ORDER BY waits, seconds DESC NULLS LAST
"""
_BLOCKERS = f"""
WITH mine AS (SELECT * FROM pg_locks WHERE pid = %s AND NOT granted),
blocking AS (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(%s)) AS pid),
ahead AS (
  SELECT b.pid, NULL AS prepared, EXISTS (SELECT FROM pg_locks w JOIN mine USING (locktype)
    WHERE w.pid = b.pid AND NOT w.granted AND w.relation IS NOT DISTINCT FROM mine.relation) AS waits
  FROM blocking b WHERE b.pid <> 0
  UNION ALL SELECT DISTINCT 0, h.virtualtransaction, false
  FROM blocking b, pg_locks h JOIN mine ON mine.relation = h.relation
    OR mine.transactionid = h.transactionid OR mine.virtualxid = h.virtualxid
  WHERE b.pid = 0 AND h.pid IS NULL AND h.granted
){_SESSIONS}"""
_HOLDERS = f"""
WITH ahead AS (
  SELECT DISTINCT coalesce(pid, 0) AS pid, virtualtransaction AS prepared, false AS waits
  FROM pg_locks WHERE relation IN {FAMILY} AND mode = coalesce(%s, mode) AND granted
    AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
){_SESSIONS}"""
# pg_locks tells every role of every session; pg_stat_activity does not.
_QUEUED = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid))"


@contextmanager
def watched(session: Session, look: Callable[[Session, int], object], every: float) -> Iterator[None]:
    """Call ``look`` with another session and our backend's pid every so many seconds, until the block ends.

    Without a second connection the block runs unwatched, and the log says so once. A failed look is repeated.
    """
    ended = threading.Event()
    pid: int = session.value("SELECT pg_backend_pid()")

    def watch() -> None:
        told = False
        while not ended.wait(every):  # most steps end before anybody need look
            try:
                with connect(session.target, "watch", session.limits, session.flags) as other:
                    other.unseen = session.unseen
                    while True:
                        with only_observing(other, "who waits for this session"):
                            look(other, pid)
                        if ended.wait(every):
                            return
            except (psycopg.Error, Abort) as error:
                if not told:
                    session.say(f"nobody watches this step for now ({type(error).__name__}); it goes on")
                told = True

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def waiting_for(other: Session, pid: int) -> int:
    """Return how many sessions wait for a lock that ``pid`` holds or waits for."""
    return int(other.value(_QUEUED, (pid,)))


class Blockers:
    """Who stood before us in the queue for a lock, and how many stood behind us, as far as it was seen.

    ``slow``: the lock was got, and the change itself took too long.
    """

    def __init__(self, session: Session) -> None:
        self.show_queries = session.limits.show_queries
        self.ahead: list[Row] = []
        self.behind = 0
        self.slow = False

    def look(self, other: Session, pid: int) -> bool:
        """Note who blocks ``pid`` now, and return whether somebody does."""
        ahead: list[Row] = []
        with only_observing(other, "who blocks this session"):
            ahead = other.rows(_BLOCKERS, (pid, pid))
        if ahead:
            self.ahead = ahead
            self.behind = max(self.behind, waiting_for(other, pid))
        return bool(ahead)

    def look_back(
        self,
        session: Session,
        table: Relation,
        *,
        had_lock: bool = False,
        mode: str | None = None,
        bound: float = math.inf,
    ) -> None:
        """Note who holds locks (of one ``mode`` or any) on ``table`` now, where nobody was seen before.

        ``bound``: the seconds of ``statement_timeout``, if one is set.
        """
        self.slow = had_lock and not self.ahead
        if not self.ahead and not self.slow:
            with only_observing(session, f"who holds locks on {table.name}", bound):
                self.ahead = session.rows(_HOLDERS, (str(table), mode))

    def words(self) -> str:
        """Return who blocked (pid, role, application, state, age) and the queue behind us."""
        if self.slow:
            return "Nobody was before us: the change itself takes longer than --max-stall allows."
        if not self.ahead:
            return "Whoever blocked it was not seen."
        behind = f" {self.behind} sessions waited behind us." if self.behind else ""
        return f"Before us: {self.named()}.{behind}"

    def named(self) -> str:
        """Return those before us in a few words each: pid, role, application, state, age."""
        return "; ".join(self._name(row) for row in self.ahead[:5])

    def remedy(self) -> str:
        """Return what to do before the same command is run again."""
        if self.slow:
            return "Give the change more time, such as --max-stall 1s,"
        return f"End what blocks (for example: {self._end()})"

    def _end(self) -> str:
        """Return the statement that ends one of them."""
        for row in self.ahead:
            if row["gid"] is not None:
                return f"ROLLBACK PREPARED {typed(row['gid'])};"
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
        role = row["role"] or "a process of the server"
        return f"pid {row['pid']} ({role}, {row['application']!r}, {state}{age}, {how}{text})"
