"""What an instant on a Citus cluster needs as well: commands one after the other, a weak lock on each shard."""

from dataclasses import dataclass

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY


@dataclass(frozen=True)
class ClusterInstant:
    """Statements of one transaction: ``first`` of all, and those that lock the shards weakly."""

    first: tuple[str, ...]
    weak_locks: tuple[str, ...]


ONE_AFTER_THE_OTHER = "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"
"""Citus creates no function and no view after a command that ran on several shards at once."""

_HARMLESS = "'{log_autovacuum_min_duration,toast_tuple_target,parallel_workers}'::text[]"
# LOCK TABLE locks a table and its copies, no shard. RESET of an option that is not set locks each shard, and
# changes nothing (PostgreSQL 15 manual, ALTER TABLE: SHARE UPDATE EXCLUSIVE for storage parameters).
_WEAK = f"""SELECT format('ALTER TABLE %%s RESET (%%s)', c.oid::regclass, option) AS sql
FROM {FAMILY} AS family JOIN pg_class c USING (oid) JOIN pg_catalog.pg_dist_partition ON logicalrelid = oid
CROSS JOIN LATERAL (SELECT option FROM unnest({_HARMLESS}) AS option
  WHERE NOT EXISTS (SELECT FROM unnest(reloptions) AS given WHERE given ^@ (option || '=')) LIMIT 1) AS unset
WHERE relkind = 'r' ORDER BY c.oid::regclass::text"""


def cluster_instant(session: Session, table: Relation) -> ClusterInstant | None:
    """Return what an instant on ``table`` needs; None where Citus manages no table of ours."""
    if not session.on_cluster:
        return None
    return ClusterInstant((ONE_AFTER_THE_OTHER,), tuple(row["sql"] for row in session.rows(_WEAK, (str(table),))))
