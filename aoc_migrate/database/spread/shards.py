"""The shards of a table on a Citus cluster."""

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY

NAMED = "(SELECT to_regclass(name) FROM unnest(%s::text[]) AS named (name) WHERE to_regclass(name) IS NOT NULL)"
"""The tables of these names that a node has, as a subquery; unlike a cast it fails for none, and locks none."""


def shards(session: Session, table: Relation) -> list[str]:
    """Return the names of the shards of a table and of its partitions, as SQL writes them."""
    rows = session.rows(
        "SELECT pg_catalog.shard_name(logicalrelid, shardid) AS name FROM pg_catalog.pg_dist_shard "
        f"WHERE logicalrelid IN {FAMILY} ORDER BY shardid",
        (str(table),),
    )
    return [row["name"] for row in rows]
