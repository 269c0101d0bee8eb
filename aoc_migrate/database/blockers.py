"""Who keeps one of our sessions waiting for a lock, and how to end that."""

import math

from aoc_migrate.database.lock_queue import LockQueue, holders, lock_queue
from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.relation import Relation, typed
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.nodes import on
from aoc_migrate.report.formatting import seconds_shown


class Blockers:
    """Who was ahead of us in the queue for a lock, and how many waited behind us, as far as it was seen.

    ``slow``: we had the lock, and the change itself took too long.
    """

    def __init__(self, session: Session) -> None:
        self.show_queries = session.limits.show_queries
        self.ahead: list[Row] = []
        self.behind = 0
        self.slow = False

    def observe(self, other: Session, pid: int) -> LockQueue:
        """Keep who blocks ``pid`` now, if anybody does; return the queue around it."""
        queue = lock_queue(other, pid)
        if queue.ahead:
            self.ahead, self.behind = queue.ahead, max(self.behind, queue.behind)
        return queue

    def find_holders(
        self,
        session: Session,
        table: Relation,
        *,
        had_lock: bool = False,
        mode: str | None = None,
        bound: float = math.inf,
    ) -> None:
        """Keep who holds locks (of one ``mode`` or any) on ``table`` now, where no blocker was seen before.

        ``bound``: the seconds of ``statement_timeout``, if one is set.
        """
        if not self.ahead and (session.on_cluster or not had_lock):
            with only_observing(session, f"who holds locks on {table.name}", bound):
                self.ahead = holders(session, table, mode)
        self.slow = had_lock and not self.ahead

    def words(self) -> str:
        """Return who blocked us, and how many waited behind us."""
        if self.slow:
            return "Nobody was ahead of us: the change itself takes longer than --max-stall allows."
        if not self.ahead:
            return "No blocker was seen."
        behind = f" {self.behind} session{'s' * (self.behind != 1)} waited behind us." if self.behind else ""
        return f"Ahead of us: {self.named()}.{behind}"

    def waiting(self) -> str:
        """Return whom we wait for, as a phrase."""
        if not self.ahead:
            return "waiting for a session that we cannot see"
        behind = f"; {self.behind} waiting behind us" if self.behind else ""
        return f"waiting for {self.named()}{behind}"

    def named(self) -> str:
        """Return the blockers in a few words each: pid, role, application, state, age."""
        return "; ".join(self._name(row) for row in self.ahead[:5])

    def remedy(self) -> str:
        """Return what to do before running the same command again."""
        if self.slow:
            return "Give the change more time, such as --max-stall 1s,"
        return f"End what blocks (for example{self._end()})"

    def _end(self) -> str:
        """Return the statement that ends one of them, after who may run it, if this role may not."""
        for row in self.ahead:
            if row["gid"] is not None:
                return f": ROLLBACK PREPARED {typed(row['gid'])};{on(row)}"
            if not row["waits"]:
                ender = f", as {row['ender']}" if row["ender"] else ""
                return f"{ender}: SELECT pg_terminate_backend({row.get('global_pid', row['pid'])});"
        return ": SELECT * FROM pg_stat_activity WHERE state <> 'idle' ORDER BY xact_start;"

    def _name(self, row: Row) -> str:
        age = "" if row["seconds"] is None else f", open for {seconds_shown(row['seconds'])}"
        if row["gid"] is not None:
            return f"prepared transaction {row['gid']!r} of {row['role']}{on(row)}{age}"
        if row["autovacuum"]:
            kind = "to prevent wraparound, which does not yield" if row["wraparound"] else "which will yield"
            return f"pid {row['pid']}{on(row)} (autovacuum {kind}{age})"
        how = "waits as we do" if row["waits"] else "holds it"
        text = f", query {row['query']!r}" if self.show_queries else ""
        state = row["state"] or "state not visible to this role"
        role = row["role"] or "a process of the server"
        return f"pid {row['pid']}{on(row)} ({role}, {row['application']!r}, {state}{age}, {how}{text})"
