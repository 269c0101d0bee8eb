"""The Steps that build and drop an index CONCURRENTLY, and the objection to any other relation of its name."""

from aoc_migrate.contract.model import Index
from aoc_migrate.database.questions import exists, index_is_ours
from aoc_migrate.database.relation import Relation
from aoc_migrate.operations.step import STILL_USED, Kind, Lock, Objection, Printed, Step, foreign_object


def definition(index: Index, name: Relation, table: str, how: str = "") -> str:
    """Return the statement that builds ``index`` under ``name`` on ``table``."""
    listed = ", ".join(index.columns)
    return f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {how}{name.bare} ON {table} ({listed})"


def build(table: Relation, name: Relation, index: Index, objection: Objection | None = None) -> Step:
    """Return the Step that builds ``index`` on ``table``."""
    kind = Kind.BUILD_UNIQUE_INDEX if index.unique else Kind.BUILD_INDEX
    sql = definition(index, name, str(table), "CONCURRENTLY ")
    needed = f"NOT {exists(name)}"
    return Step(kind, table, (name.name,), Lock.SHARE_UPDATE_EXCLUSIVE, (sql,), needed, objection, Printed.ASKING)


def foreign(table: Relation, name: Relation, index: Index) -> Objection:
    """Return the objection to anything of this name that is not the contract's index."""
    found = f"{exists(name)} AND NOT {index_is_ours(table, name, index)}"
    return foreign_object(name.name, found)


def still_used(name: Relation, needed: str, kept: str) -> Objection:
    """Return the objection to dropping an index on which others have based something since, also in partitions.

    PostgreSQL refuses to drop it for a constraint's sake. For a replica identity's it does not, and then refuses
    every UPDATE and DELETE of a published table. ``kept``: the condition that a partition had its part
    ``relid`` before. Its twin takes over the replica identity, but no constraint.
    """
    index = f"to_regclass({name.literal})"
    reason = f"""CASE WHEN {needed} THEN (
  WITH parts AS (SELECT {index}::oid AS index, false AS kept UNION SELECT relid::oid, {kept}
    FROM pg_partition_tree({index}))
  SELECT string_agg(used, '; ' ORDER BY used) FROM (
    SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) || ' needs it' AS used
    FROM pg_constraint JOIN parts ON conindid = index WHERE conparentid = 0
    UNION ALL SELECT format('it is the replica identity of %1$s (ALTER TABLE %1$s REPLICA IDENTITY DEFAULT; ' ||
      'chooses another)', indrelid::regclass)
    FROM pg_index JOIN parts ON indexrelid = index WHERE indisreplident AND NOT kept) AS uses) END"""
    remedy = "Drop that constraint, or choose another replica identity. Then run the same command again."
    return Objection(STILL_USED, f"the index {name.name}", reason, {"remedy": remedy})


def drop(table: Relation, name: Relation, needed: str, objection: Objection | None = None) -> Step:
    """Return the Step that drops an index of ``table``, once no other session can be building it."""
    sql, kind = f"DROP INDEX CONCURRENTLY IF EXISTS {name}", Kind.DROP_INDEX
    lock = Lock.SHARE_UPDATE_EXCLUSIVE
    return Step(kind, table, (name.name,), lock, (sql,), needed, objection, Printed.ASKING)
