"""Signal: the WAL archive fails, or is further behind than --max-lag allows."""

from aoc_migrate.database.session import Row
from aoc_migrate.database.spread.nodes import everywhere, on
from aoc_migrate.database.throttle.signal import Signal
from aoc_migrate.report.formatting import bytes_shown

# Finished segments after the last archived one: the current one cannot be archived yet. The name of a segment is
# its timeline, then its place: 8 hexadecimal digits each for the high word of the LSN and the number of the
# segment below it (PostgreSQL 15 manual, 67.6).
_ARCHIVE = (
    "SELECT (div(pg_current_wal_lsn() - '0/0'::pg_lsn, segment) * segment "
    "- ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * 4294967296 "
    "- (('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint + 1) * segment)::bigint AS bytes, "
    "last_failed_time > coalesce(last_archived_time, '-infinity') AS fails "
    "FROM (SELECT CASE WHEN last_archived_wal ~ '^[0-9A-F]{24}' THEN last_archived_wal END AS last_archived_wal, "
    "last_archived_time, last_failed_time, pg_size_bytes(current_setting('wal_segment_size')) AS segment "
    "FROM pg_stat_archiver) AS archiver WHERE current_setting('archive_mode') <> 'off'"
)


class Archive(Signal):
    """The archive of finished WAL segments."""

    kind = "archive"
    what = "how far the WAL archive is behind"
    remedy = "Repair archive_command (the server's log says why it fails), or use --max-lag off."

    def reason(self) -> str | None:
        """Return that the archive fails, or how far it is behind if that is too far."""
        limits = self.session.limits
        if limits.max_lag_bytes is None and limits.max_lag_seconds is None:
            return None
        for row in self.state():
            if (
                limits.max_lag_bytes is not None
                and row["bytes"] is not None
                and row["bytes"] > limits.max_lag_bytes
            ):
                return f"the WAL archive{on(row)} is {bytes_shown(row['bytes'])} behind"
            if row["fails"]:
                return f"the WAL archive{on(row)} fails"
        return None

    def state(self) -> list[Row]:
        """Return the bytes that are not archived, and whether the last try failed; nothing without an archive."""
        return everywhere(self.session, self.what, _ARCHIVE)
