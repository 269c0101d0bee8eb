"""Signal: others wait for our row locks, or for a lock on the table that writers would queue behind."""

from aoc_migrate.database.spread.nodes import on
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shards import on_shards
from aoc_migrate.database.throttle.signal import Signal, WritingStep

_QUEUE = (
    "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'relation' "
    "AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND relation IN {tables}"
)


class Waiters(Signal):
    """Sessions that wait for us, or for a lock on the table or one of its partitions.

    Those that wait for rows are seen by the session that watches the batches; each sighting pauses once.
    """

    kind = "lock"
    remedy = "Let the waiting session have its lock, or end it: SELECT pg_terminate_backend(PID);"

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self.what = f"who waits for {step.table}"

    def reason(self) -> str | None:
        """Return who waits: first those for rows, then those for the table."""
        if self.step.waiting:
            waiting, self.step.waiting = self.step.waiting, 0
            return f"{waiting} session{'s wait' if waiting > 1 else ' waits'} for rows that it locks"
        return next((f"{name} waits for a lock on {self.step.table}" for name in self.queue()), None)

    def queue(self) -> list[str]:
        """Return the sessions that wait for a lock on the table or a partition of it."""
        table = self.session.schema[self.step.table]
        rows = self.session.rows(_QUEUE.format(tables=FAMILY), (str(table),))
        return [f"pid {row['pid']}{on(row)}" for row in rows or on_shards(self.session, self.what, _QUEUE, table)]
