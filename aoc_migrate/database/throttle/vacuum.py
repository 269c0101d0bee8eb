"""Signal: VACUUM is at work on the table.

It removes the dead rows whose space the next batches use again, and reads the same disks. One that prevents
wraparound may take hours on a large table: the step waits for ``limits.vacuum_wait`` in all, then it goes on and
the report warns.
"""

from aoc_migrate.database.session import Row
from aoc_migrate.database.spread.nodes import on
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shards import on_shards
from aoc_migrate.database.throttle.signal import Signal, WritingStep

# ANALYZE alone is not in this view, and cleans nothing.
_VACUUMS = (
    "SELECT v.pid, c.relname::text AS name, v.relid <> c.oid AS toast, "
    "a.backend_type = 'autovacuum worker' AS automatic "
    "FROM pg_stat_progress_vacuum v JOIN pg_class c ON v.relid IN (c.oid, nullif(c.reltoastrelid, 0)) "
    "JOIN pg_stat_activity a ON a.pid = v.pid "
    "WHERE v.datname = current_database() AND c.oid IN {tables} ORDER BY v.pid"
)


class Vacuum(Signal):
    """Autovacuum, or a VACUUM that a person runs, on the table, its partitions, their TOAST tables or shards."""

    kind = "vacuum"

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self.what = f"what vacuums {step.table}"

    def reason(self) -> str | None:
        """Return what vacuums the table, as long as there is time left to wait for it."""
        limits = self.session.limits
        names = "" if self.gave_up else "; ".join(map(_name, self._vacuums()))
        if not names:
            return None
        if self.seconds < min(limits.vacuum_wait, limits.deadline):
            return f"a vacuum is at work: {names}"
        self.go_on("vacuum-running", f"although a vacuum is at work: {names}", names=names)
        return None

    def _vacuums(self) -> list[Row]:
        table = self.session.schema[self.step.table]
        rows = self.session.rows(_VACUUMS.format(tables=FAMILY), (str(table),))
        return [*rows, *on_shards(self.session, self.what, _VACUUMS, table)]


def _name(row: Row) -> str:
    what = "autovacuum" if row["automatic"] else "VACUUM"
    toast = "the TOAST table of " if row["toast"] else ""
    return f"{what} of {toast}{row['name']} (pid {row['pid']}{on(row)})"
