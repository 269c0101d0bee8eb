"""Signal: a standby is further behind than --max-lag allows."""

from aoc_migrate.database.session import Row
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.database.throttle.marks import Marks
from aoc_migrate.database.throttle.signal import Signal, WritingStep
from aoc_migrate.report.formatting import seconds_shown

_STANDBYS = (
    "SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid) AS name, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, sent_lsn))::bigint AS bytes, "
    "extract(epoch FROM CASE WHEN replay_lsn IS NULL THEN flush_lag ELSE replay_lag END)::float8 AS seconds, pid, "
    "replay_lsn::text AS replayed "
    "FROM pg_stat_replication WHERE state IN ('catchup', 'streaming') ORDER BY bytes DESC NULLS LAST"
)


class Standby(Signal):
    """Standbys, and receivers such as pg_receivewal, which replay nothing: their ``replayed`` is NULL."""

    kind = "standby"
    what = "how far standbys are behind"
    remedy = "Wait until it has caught up, or allow more with --max-lag"

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self._replayed = Marks()

    def reason(self) -> str | None:
        """Return the first standby that is too far behind, in bytes or in seconds."""
        limits = self.session.limits
        if limits.max_lag_bytes is None and limits.max_lag_seconds is None:
            return None
        return next(
            (reason for row in everywhere(self.session, self.what, _STANDBYS) if (reason := self._lag(row))), None
        )

    def _lag(self, row: Row) -> str | None:
        name, limits = f"standby {row['name']!r}{on(row)}", self.session.limits
        if limits.max_lag_bytes is not None and row["bytes"] is not None and row["bytes"] > limits.max_lag_bytes:
            return f"{name} is {row['bytes'] / 2**20:,.1f} MB behind"
        seconds = self._late(name, row)
        if limits.max_lag_seconds is not None and seconds > limits.max_lag_seconds:
            return f"{name} is {seconds_shown(seconds)} behind"
        return None

    def _late(self, name: str, row: Row) -> float:
        """Return the seconds that a standby is behind: its own figure, or for how long it has replayed nothing.

        A standby that has stopped replaying keeps the lag that it had then. One that lacks nothing is not behind:
        its lag is that of its last answer, which may be ten seconds old.
        """
        if row["bytes"] == 0:
            return 0.0
        lacks = bool(row["bytes"]) and row["replayed"] is not None
        stopped = self._replayed.unchanged(f"{name} of pid {row['pid']}", row["replayed"]) if lacks else 0.0
        return max(stopped, row["seconds"] or 0.0)
