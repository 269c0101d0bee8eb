"""The queue for locks around one of our sessions: who is ahead of it, and how many wait behind it."""

from dataclasses import dataclass, field

from aoc_migrate.database.observing import only_observing
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.backends import BACKENDS, internal_name, sessions_of
from aoc_migrate.database.spread.nodes import on_each_node
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shards import ALL_PLACEMENTS, shards

# Who may end a session: PostgreSQL 18 manual, 9.28.2.
_ENDER = """CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN NULL
  WHEN coalesce((SELECT rolsuper FROM pg_roles WHERE oid = a.usesysid), true) THEN 'a superuser'
  WHEN NOT pg_has_role(a.usesysid, 'USAGE') AND NOT pg_has_role('pg_signal_backend', 'USAGE')
    THEN 'a member of pg_signal_backend' END"""
# A lock without a backend is a prepared transaction's, which holds one on its own id as well.
_SESSIONS = f"""
SELECT a.pid, a.usename AS role, a.application_name AS application, a.state, a.query, NULL AS gid,
  extract(epoch FROM now() - a.xact_start)::int AS seconds,
  a.backend_type = 'autovacuum worker' AS autovacuum, a.query LIKE '%%(to prevent wraparound)' AS wraparound,
  ahead.waits, {_ENDER} AS ender
FROM ahead JOIN pg_stat_activity a ON a.pid = ahead.pid
UNION ALL
SELECT 0, p.owner, NULL, 'prepared', NULL, p.gid, extract(epoch FROM now() - p.prepared)::int, false, false, false,
  NULL
FROM ahead JOIN pg_locks own ON own.locktype = 'transactionid' AND own.pid IS NULL
  AND own.virtualtransaction = ahead.prepared
JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
"""
_OBJECT = (
    "ROW({0}.locktype, {0}.database, {0}.relation, {0}.page, {0}.tuple, {0}.virtualxid, {0}.transactionid, "
    "{0}.classid, {0}.objid, {0}.objsubid)"
)
# pg_locks shows every role every session; pg_stat_activity does not. pg_blocking_pids stops the lock manager for a
# moment, so it is called only for sessions that wait for something that ours holds or awaits.
_QUEUE = f"""
WITH ours (pid) AS MATERIALIZED ({{ours}}),
locks AS MATERIALIZED (SELECT * FROM pg_locks),
mine AS (SELECT locks.* FROM ours JOIN locks USING (pid) WHERE NOT granted),
waiting AS MATERIALIZED (
  SELECT pid, pg_blocking_pids(pid) AS blockers FROM (
    SELECT pid FROM ours UNION SELECT w.pid FROM ours JOIN locks own USING (pid) JOIN locks w
      ON {_OBJECT.format("w")} IS NOT DISTINCT FROM {_OBJECT.format("own")} WHERE NOT w.granted
  ) AS around
),
blocking AS (SELECT DISTINCT unnest(blockers) AS pid FROM waiting JOIN ours USING (pid)),
ahead AS (
  SELECT b.pid, NULL AS prepared, EXISTS (SELECT FROM locks w JOIN mine USING (locktype)
    WHERE w.pid = b.pid AND NOT w.granted AND w.relation IS NOT DISTINCT FROM mine.relation) AS waits
  FROM blocking b WHERE b.pid <> 0 AND b.pid <> ALL (ARRAY(SELECT pid FROM ours))
  UNION ALL SELECT DISTINCT 0, h.virtualtransaction, false
  FROM blocking b, locks h JOIN mine ON mine.relation = h.relation
    OR mine.transactionid = h.transactionid OR mine.virtualxid = h.virtualxid
  WHERE b.pid = 0 AND h.pid IS NULL AND h.granted
),
sessions AS ({_SESSIONS})
SELECT sessions.*, ARRAY(SELECT {{waiter}} FROM waiting WHERE blockers && ARRAY(SELECT pid FROM ours)
  AND pid <> ALL (ARRAY(SELECT pid FROM ours))) AS behind
FROM (SELECT) AS always LEFT JOIN sessions ON true ORDER BY waits, seconds DESC NULLS LAST
"""
_HERE = {"ours": "VALUES (%(pid)s::int)", "waiter": "pid"}
_HOLDERS = f"""
WITH ahead AS (
  SELECT DISTINCT coalesce(pid, 0) AS pid, virtualtransaction AS prepared, false AS waits
  FROM pg_locks WHERE relation IN {{tables}} AND mode = coalesce(%s, mode) AND granted
    AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
){_SESSIONS} ORDER BY waits, seconds DESC NULLS LAST"""


@dataclass(frozen=True)
class LockQueue:
    """The sessions and prepared transactions ahead of a session, and how many sessions wait behind it."""

    ahead: list[Row] = field(default_factory=list)
    behind: int = 0


def lock_queue(other: Session, pid: int) -> LockQueue:
    """Return the queue around session ``pid``, seen from ``other`` in one query; an empty one if that fails.

    On a cluster, where nobody blocks it here, the queues around its backends on all nodes are read as well.
    """
    what = "who blocks this session, and who waits for it"
    with only_observing(other, what):
        rows = other.rows(_QUEUE.format(**_HERE), {"pid": pid})
        ahead, behind = [row for row in rows if row["pid"] is not None], {*rows[0]["behind"]}
        if other.on_cluster and not ahead:
            rows = on_each_node(other, what, _QUEUE.format(**BACKENDS), {"name": internal_name(other, pid)})
            ahead = sessions_of(other, [row for row in rows if row["pid"] is not None])
            behind |= {waiter for row in rows for waiter in row["behind"]}
        return LockQueue(ahead, len(behind))
    return LockQueue()


def holders(session: Session, table: Relation, mode: str | None) -> list[Row]:
    """Return who else holds locks (of one ``mode`` or any) on ``table``, or a partition or shard of it."""
    found = session.rows(_HOLDERS.format(tables=FAMILY), (str(table), mode))
    if session.on_cluster and not found:
        what, query = f"who holds locks on shards of {table.name}", _HOLDERS.format(tables=ALL_PLACEMENTS)
        found = sessions_of(session, on_each_node(session, what, query, (*shards(session, table), mode)))
    return found
