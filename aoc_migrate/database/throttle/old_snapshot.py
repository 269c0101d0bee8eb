"""Signal: an old snapshot keeps dead rows from being cleaned.

Old snapshots cost more than they are worth waiting for without end (`reference/limits.md` 5.1): the step waits for
them for ``limits.snapshot_wait`` in all, then it goes on and the report warns.
"""

from aoc_migrate.database.old_transactions import old_transactions, prepared
from aoc_migrate.database.session import Row
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.database.throttle.marks import Marks
from aoc_migrate.database.throttle.signal import Signal, WritingStep

# The catalog has no age for a snapshot without a session: its transaction id is compared from one evaluation to
# the next. While nothing is written it cannot move; then it holds nothing back, for no id is younger.
_HORIZONS = (
    "SELECT 'replication slot ' || slot_name AS name, NULL::int AS pid, xmin::text AS mark "
    "FROM pg_replication_slots WHERE age(xmin) > 0 AND wal_status IS DISTINCT FROM 'lost' UNION ALL "
    "SELECT 'standby ' || application_name, pid, backend_xmin::text FROM pg_stat_replication "
    "WHERE age(backend_xmin) > 0"
)


class OldSnapshot(Signal):
    """Transactions, prepared transactions, slots and standbys older than ``limits.old_snapshot``."""

    kind = "snapshot"
    what = "who holds old snapshots"

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self._marks = Marks()

    def reason(self) -> str | None:
        """Return who holds an old snapshot, as long as there is time left to wait for it."""
        limits = self.session.limits
        names = "" if self.gave_up else "; ".join(self._holders())
        if not names:
            return None
        if self.seconds < min(limits.snapshot_wait, limits.deadline):
            return f"an old snapshot keeps dead rows from being cleaned: {names}"
        self.go_on("snapshot-held", f"although old snapshots are open: {names}", names=names)
        return None

    def horizons(self) -> list[Row]:
        """Return slots and standbys that hold a transaction id (``mark``) older than the latest."""
        return everywhere(self.session, self.what, _HORIZONS)

    def is_old(self, row: Row) -> bool:
        """Return whether a slot or a standby has held the same transaction id for too long."""
        held = self._marks.unchanged(f"{row['name']}{on(row)} of pid {row['pid']}", row["mark"])
        return held > self.session.limits.old_snapshot

    def _holders(self) -> list[str]:
        old = self.session.limits.old_snapshot
        return [
            *old_transactions(self.session, old),
            *(
                f"prepared transaction {row['gid']!r}{on(row)}"
                for row in prepared(self.session)
                if row["seconds"] >= old
            ),
            *(row["name"] + on(row) for row in self.horizons() if self.is_old(row)),
        ]
