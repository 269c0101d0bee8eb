"""Signal: a replication slot keeps more WAL than --max-lag allows."""

from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.database.throttle.signal import Signal
from aoc_migrate.report.formatting import bytes_shown

_SLOTS = (
    "SELECT slot_name AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes "
    "FROM pg_replication_slots WHERE restart_lsn IS NOT NULL AND wal_status IS DISTINCT FROM 'lost' "
    "ORDER BY bytes DESC"
)


class Slot(Signal):
    """Replication slots: each keeps the WAL that its consumer has not confirmed."""

    kind = "slot"
    what = "how far replication slots are behind"
    remedy = (
        "Start its consumer, or raise --max-lag. Only if its owner no longer needs it, drop it: "
        "SELECT pg_drop_replication_slot('NAME');"
    )

    def reason(self) -> str | None:
        """Return the slot that keeps the most WAL, if that is too much."""
        most = self.session.limits.max_lag_bytes
        if most is None:
            return None
        rows = [row for row in everywhere(self.session, self.what, _SLOTS) if row["bytes"] is not None]
        row = max(rows, key=lambda row: int(row["bytes"]), default=None)
        if row is None or row["bytes"] <= most:
            return None
        return f"slot {row['name']!r}{on(row)} is {bytes_shown(row['bytes'])} behind"
