"""Who else is at work on the server, as far as it matters to steps that take long or write much."""

from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session

_OLD_TRANSACTIONS = (
    "SELECT pid, usename AS role, application_name AS application, "
    "extract(epoch FROM now() - xact_start)::int AS seconds FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' "
    "AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) "
    "AND xact_start < now() - make_interval(secs => %s) ORDER BY xact_start LIMIT 12"
)
_PREPARED = (
    "SELECT gid, owner::text, extract(epoch FROM now() - prepared)::int AS seconds FROM pg_prepared_xacts "
    "WHERE database = current_database() ORDER BY prepared LIMIT 12"
)
# A session-less snapshot has no age that the catalog tells: its mark is compared from look to look. While nothing
# is written it cannot move; then it holds nothing back, for no id is younger.
_HORIZONS = (
    "SELECT 'replication slot ' || slot_name AS name, NULL::int AS pid, xmin::text AS mark "
    "FROM pg_replication_slots WHERE age(xmin) > 0 AND wal_status IS DISTINCT FROM 'lost' UNION ALL "
    "SELECT 'standby ' || application_name, pid, backend_xmin::text FROM pg_stat_replication "
    "WHERE age(backend_xmin) > 0"
)
_STANDBYS = (
    "SELECT coalesce(nullif(application_name, ''), host(client_addr), 'pid ' || pid) AS name, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, sent_lsn))::bigint AS bytes, "
    "extract(epoch FROM CASE WHEN replay_lsn IS NULL THEN flush_lag ELSE replay_lag END)::float8 AS seconds, pid, "
    "replay_lsn::text AS replayed "
    "FROM pg_stat_replication WHERE state IN ('catchup', 'streaming') ORDER BY bytes DESC NULLS LAST"
)
_SLOTS = (
    "SELECT slot_name AS name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes, "
    "NULL::float8 AS seconds FROM pg_replication_slots WHERE restart_lsn IS NOT NULL "
    "AND wal_status IS DISTINCT FROM 'lost' ORDER BY bytes DESC"
)
# Finished segments after the last archived one: the current one cannot be archived yet. The name of a segment is
# its timeline, then its place: 8 hexadecimal digits each for the high word of the LSN and the number of the
# segment below it (PostgreSQL 15 manual, 67.6).
_ARCHIVE = (
    "SELECT 'the WAL archive' AS name, (div(pg_current_wal_lsn() - '0/0'::pg_lsn, segment) * segment "
    "- ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * 4294967296 "
    "- (('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint + 1) * segment)::bigint AS bytes, "
    "CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN "
    "extract(epoch FROM now() - last_failed_time)::float8 END AS seconds "
    "FROM (SELECT CASE WHEN last_archived_wal ~ '^[0-9A-F]{24}' THEN last_archived_wal END AS last_archived_wal, "
    "last_archived_time, last_failed_time, pg_size_bytes(current_setting('wal_segment_size')) AS segment "
    "FROM pg_stat_archiver) AS archiver WHERE current_setting('archive_mode') <> 'off'"
)
MAINTAINING = "ShareUpdateExclusiveLock"
"""The lock of whoever builds or drops an index CONCURRENTLY, vacuums or analyzes, as pg_locks writes it."""

_QUEUE = (
    "SELECT 'pid ' || pid AS name FROM pg_locks WHERE NOT granted AND locktype = 'relation' "
    "AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND relation IN {FAMILY}"
)


def old_transactions(session: Session, seconds: float) -> list[Row]:
    """Return transactions of this database that hold a snapshot or an id for longer than so many seconds."""
    return session.rows(_OLD_TRANSACTIONS, (seconds,))


def prepared(session: Session) -> list[Row]:
    """Return the prepared transactions of this database, the oldest first."""
    return session.rows(_PREPARED)


def horizons(session: Session) -> list[Row]:
    """Return what else keeps dead rows from being cleaned: name, pid of a standby, transaction id it holds at."""
    return session.rows(_HORIZONS)


def behind(session: Session) -> dict[str, list[Row]]:
    """Return how far standbys, slots and the archive are behind: name, bytes, and seconds where they are known.

    The seconds of the archive say since when it fails. A standby that replays nothing keeps the lag that it had
    when it stopped; ``replayed`` tells that it stands still. It is NULL for what only receives, such as
    pg_receivewal.
    """
    return {
        kind: session.rows(sql) for kind, sql in (("standby", _STANDBYS), ("slot", _SLOTS), ("archive", _ARCHIVE))
    }


def queue(session: Session, table: Relation) -> list[Row]:
    """Return who waits for a lock on ``table`` or a partition of it that writers would wait behind."""
    return session.rows(_QUEUE, (str(table),))


def maintaining(table: Relation) -> str:
    """Return an expression: which other sessions hold the lock `MAINTAINING` on ``table``; NULL for none."""
    return (
        "(SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks "
        f"WHERE relation = to_regclass({table.literal}) AND mode = '{MAINTAINING}' AND granted "
        "AND pid IS DISTINCT FROM pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )


def sees_all(session: Session) -> bool:
    """Return whether this role sees what other roles' sessions and standbys do."""
    return bool(session.value("SELECT pg_has_role('pg_read_all_stats', 'USAGE')"))
