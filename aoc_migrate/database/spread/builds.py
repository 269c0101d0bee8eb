"""Index builds that run: on this server, on partitions, and on the shards of a cluster."""

from collections import Counter
from typing import NamedTuple

from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.backends import internal_name, sessions_of
from aoc_migrate.database.spread.nodes import on, on_each_node
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shards import ALL_PLACEMENTS, shard_of, shards


def building(session: Session, table: str, indexes: list[str]) -> dict[str, int]:
    """Return name and pid of the builds of ``indexes`` on ``table``, and of any index on a partition of it."""
    named = str(session.schema[table])
    rows = session.rows(
        "SELECT x.relname::text AS name, p.pid FROM pg_stat_progress_create_index p "
        f"JOIN {FAMILY} AS family ON family.oid = p.relid JOIN pg_class x ON x.oid = p.index_relid "
        "WHERE p.datname = current_database() AND (p.relid <> to_regclass(%s) OR x.relname = ANY (%s)) ORDER BY 1",
        (named, named, indexes),
    )
    if session.on_cluster and not rows:
        rows = _on_shards(session, named, indexes)
    return {row["name"]: row["pid"] for row in rows}


_UNFINISHED = f"""
SELECT {shard_of("indexrelid::regclass")} AS part, x.relname::text AS name
FROM pg_index JOIN pg_catalog.pg_dist_shard ON logicalrelid = indrelid JOIN pg_class x ON x.oid = indexrelid
WHERE indrelid IN {FAMILY} AND NOT indisvalid AND (indrelid <> to_regclass(%s) OR x.relname = ANY (%s))
"""
_PARTS = """
SELECT named.name, pid, application_name AS application, NULL AS gid
FROM unnest(%s::text[], %s::text[]) AS named (part, name)
JOIN pg_stat_progress_create_index ON index_relid = to_regclass(part) JOIN pg_stat_activity USING (pid) ORDER BY 1
"""


def _on_shards(session: Session, named: str, indexes: list[str]) -> list[Row]:
    unfinished = session.rows(_UNFINISHED, (named, named, indexes))
    if not unfinished:
        return []
    parts = [row["part"] for row in unfinished], [row["name"] for row in unfinished]
    return sessions_of(session, on_each_node(session, "which indexes are being built", _PARTS, parts))


class Place(NamedTuple):
    """How far an index build has got: its phase, and how much of it is done. Some phases count nothing."""

    doing: str
    unit: str | None
    done: int
    total: int | None


_PROGRESS = """
SELECT {whose} AS whose, phase,
  CASE WHEN blocks_total > 0 THEN 'blocks' WHEN tuples_total > 0 THEN 'rows' END AS unit,
  CASE WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END AS done,
  CASE WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END AS total
FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid)
WHERE {whose} = ANY (%s) AND phase IS NOT NULL ORDER BY phase
"""


def index_builds(session: Session, pids: list[int]) -> dict[int, Place]:
    """Return how far the index builds of sessions have got, by pid, as far as this role may see them.

    On a cluster, most shards of a build are in the phase that is returned, with what is done and in all of these.
    """
    rows = session.rows(_PROGRESS.format(whose="pid"), (pids,))
    if session.on_cluster and not rows:
        names = {internal_name(session, pid): pid for pid in pids}
        query = _PROGRESS.format(whose="application_name")
        found = on_each_node(session, "how far index builds are", query, ([*names],))
        rows = [row | {"whose": names[row["whose"]]} for row in found]
    return {pid: _place([row for row in rows if row["whose"] == pid]) for pid in {row["whose"] for row in rows}}


def _place(rows: list[Row]) -> Place:
    """Return the place of one build; of one with several shards that of most of them."""
    ((phase, unit), number) = Counter((row["phase"], row["unit"]) for row in rows).most_common(1)[0]
    here = [row for row in rows if (row["phase"], row["unit"]) == (phase, unit)]
    doing = f"{phase} on {number} of {len(rows)} running shards" if rows[0].get("node") else phase
    return Place(doing, unit, sum(row["done"] for row in here), sum(row["total"] for row in here))


_ORPHANS = f"""
SELECT pid, application_name AS application, NULL AS gid FROM pg_stat_progress_create_index
JOIN pg_stat_activity USING (pid) WHERE relid IN {ALL_PLACEMENTS}
"""


def building_on_shards(session: Session, table: Relation) -> str | None:
    """Return which backends of nodes build an index on shards of ``table``, whether their session lives or not."""
    parts = shards(session, table) if session.on_cluster else None
    if not parts or not parts.names:
        return None
    found = on_each_node(session, f"index builds on shards of {table.name}", _ORPHANS, parts)
    return ", ".join(f"pid {row['pid']}{on(row)}" for row in found) or None
