"""The shards of a table on a Citus cluster, and what each node knows of those that it has."""

from typing import NamedTuple

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.nodes import on_each_node
from aoc_migrate.database.spread.partitions import FAMILY


def shard_of(relation: str) -> str:
    """Return SQL for the name, with its schema, of the part of ``relation``, an SQL regclass, in ``shardid``.

    Citus's own function leaves out the schema ``public``.
    """
    return (
        "(SELECT format('%%I.%%I', nspname, ident[cardinality(ident)]) "
        f"FROM parse_ident(pg_catalog.shard_name({relation}, shardid)) AS ident, pg_class c "
        f"JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = {relation})"
    )


_SHARDS = f"""
SELECT {shard_of("logicalrelid")} AS name, min(groupid) AS group FROM pg_catalog.pg_dist_shard
  JOIN pg_catalog.pg_dist_placement USING (shardid) WHERE logicalrelid IN {{tables}}
GROUP BY logicalrelid, shardid ORDER BY shardid
"""
_NAMED = "(SELECT to_regclass(name)::oid AS oid FROM unnest(%s::text[], %s::int[]) AS named (name, {group}) "
_NAMED += "WHERE to_regclass(name) IS NOT NULL"
ALL_PLACEMENTS = f"{_NAMED.format(group='node')})"
"""The shards that a node has, as a subquery like `partitions.FAMILY`; it binds `Shards`."""
ONCE = f"{_NAMED.format(group='groupid')} AND groupid = (SELECT groupid FROM pg_catalog.pg_dist_local_group))"
"""The same without the copies of shards that another node has as well, so that a sum counts each shard once."""


class Shards(NamedTuple):
    """The names of shards, as SQL writes them, and for each the group of a node that has it."""

    names: list[str]
    groups: list[int]


def shards(session: Session, table: Relation) -> Shards:
    """Return the shards of a table and of its partitions; none if Citus does not manage it."""
    return _shards(session, _SHARDS.format(tables=FAMILY), str(table))


def _shards(session: Session, query: str, tables: str | list[str]) -> Shards:
    rows = session.rows(query, (tables,))
    return Shards([row["name"] for row in rows], [row["group"] for row in rows])


def on_shards(session: Session, what: str, query: str, table: Relation) -> list[Row]:
    """Return the rows of ``query`` about the shards of ``table``, which it takes from ``{tables}``, of each node.

    None if Citus does not manage the table. Nodes that fail are left out; see `nodes.everywhere`.
    """
    found = shards(session, table) if session.on_cluster else None
    return on_each_node(session, what, query.format(tables=ONCE), found) if found and found.names else []


_TABLES = "(SELECT to_regclass(name) FROM unnest(%s::text[]) AS named (name))"


def main_bytes(session: Session, tables: list[str]) -> tuple[int, int]:
    """Return the bytes of the rows of ``tables``, which have no partitions, and the number of their shards."""
    found = _shards(session, _SHARDS.format(tables=_TABLES), tables)
    query = f"SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint AS bytes FROM {ONCE} AS shards"
    rows = on_each_node(session, "how large partitions are", query, found) if found.names else []
    return sum(row["bytes"] for row in rows), len(found.names)


_BROKEN = """
SELECT shard FROM unnest(%s::text[], %s::text[]) AS named (shard, index) WHERE to_regclass(shard) IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(index)
    AND indisvalid AND indisready AND indislive)
"""
_INDEXES = f"""
SELECT {shard_of("logicalrelid")} AS shard, {shard_of("indexrelid::regclass")} AS index
FROM pg_catalog.pg_dist_shard
  JOIN pg_index ON indrelid = logicalrelid JOIN pg_class ON oid = indexrelid AND relkind = 'i'
WHERE indexrelid IN {FAMILY}
"""


def lacks_on_shards(session: Session, index: Relation) -> bool:
    """Return whether a shard lacks its part of ``index``, a valid index on the coordinator, or has it INVALID."""
    rows = session.rows(_INDEXES, (str(index),))
    named = [row["shard"] for row in rows], [row["index"] for row in rows]
    return bool(rows and on_each_node(session, f"the parts of index {index.name}", _BROKEN, named))
