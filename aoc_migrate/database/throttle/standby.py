"""Signal: a standby is further behind than --max-lag allows."""

from aoc_migrate.database.hidden_replicas import REASON, WHAT, hidden_replicas
from aoc_migrate.database.observing import say_unseen
from aoc_migrate.database.session import Row
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.database.throttle.marks import Marks
from aoc_migrate.database.throttle.signal import Signal, SignalError, WritingStep
from aoc_migrate.report.formatting import bytes_shown, seconds_shown

# Without pg_read_all_stats, a row has no state and no positions (PostgreSQL 15 manual, 28.2.4).
_STANDBYS = (
    "SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid) AS name, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, sent_lsn))::bigint AS bytes, "
    "extract(epoch FROM CASE WHEN replay_lsn IS NULL THEN flush_lag ELSE replay_lag END)::float8 AS seconds, pid, "
    "replay_lsn::text AS replayed, state IS NULL AS hidden "
    "FROM pg_stat_replication WHERE state IS NULL OR state IN ('catchup', 'streaming') "
    "ORDER BY bytes DESC NULLS LAST"
)


class Standby(Signal):
    """Standbys, and receivers such as pg_receivewal, which replay nothing: their ``replayed`` is NULL."""

    kind = "standby"
    what = "how far standbys are behind"
    remedy = "Wait until it has caught up, or allow more with --max-lag."

    def __init__(self, step: WritingStep) -> None:
        super().__init__(step)
        self._replayed = Marks()
        self._asked = False

    def reason(self) -> str | None:
        """Return the first standby that is too far behind, in bytes or in seconds.

        Raises SignalError if none is, but this role may not see the lag of some.
        """
        limits = self.session.limits
        if limits.max_lag_bytes is None and limits.max_lag_seconds is None:
            return None
        if not self._asked:
            self._asked = True
            self._say_what_is_hidden()
        rows = everywhere(self.session, self.what, _STANDBYS)
        for row in rows:
            if reason := self._lag(row):
                return reason
        if any(row["hidden"] for row in rows):
            raise SignalError("members of pg_read_all_stats see it, and this role is none")
        return None

    def _say_what_is_hidden(self) -> None:
        if hidden_replicas(self.session):
            say_unseen(self.session, WHAT, REASON)

    def _lag(self, row: Row) -> str | None:
        name, limits = f"standby {row['name']!r}{on(row)}", self.session.limits
        if limits.max_lag_bytes is not None and row["bytes"] is not None and row["bytes"] > limits.max_lag_bytes:
            return f"{name} is {bytes_shown(row['bytes'])} behind"
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
