"""The size of a table with its partitions, from the catalog and the files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY, is_partitioned
from aoc_migrate.report.model import Finding, finding

SAMPLE_PAGES = 1000
"""The pages of a sample. A table of no more pages is read whole, and its statistics hardly matter."""


@dataclass(frozen=True)
class TableSize:
    """Rows and bytes of a table with all of its partitions.

    ``rows``: as PostgreSQL's planner estimates them: the density that the last ANALYZE or VACUUM found, at the
    present number of pages; None where a table with rows has no such density. ``main_bytes``: the rows themselves;
    ``apart_bytes``: documents that are stored apart (TOAST); ``whole_bytes``: both; ``total_bytes``: with indexes.
    ``stale``: how many of its ``tables`` have no statistics, or have changed a lot since.
    """

    rows: int | None
    partitions: int
    page_bytes: int
    main_bytes: int
    apart_bytes: int
    whole_bytes: int
    total_bytes: int
    tables: int
    stale: int

    @property
    def pages(self) -> float:
        """The pages that hold the rows."""
        return self.main_bytes / self.page_bytes


_SUMS = ("main_bytes", "apart_bytes", "whole_bytes", "total_bytes", "tables", "stale")
_SIZE = """
SELECT CASE WHEN NOT bool_or(main > 0 AND (reltuples < 0 OR relpages <= 0))
    THEN coalesce(sum(reltuples / nullif(relpages, 0) * main / page), 0)::bigint END AS rows,
  count(*) FILTER (WHERE relispartition AND relkind <> 'p') AS partitions, min(page) AS page_bytes,
  sum(main)::bigint AS main_bytes, sum(coalesce(pg_relation_size(reltoastrelid), 0))::bigint AS apart_bytes,
  sum(pg_table_size(oid))::bigint AS whole_bytes, sum(pg_total_relation_size(oid))::bigint AS total_bytes,
  count(*) FILTER (WHERE main > 0 OR relkind = 'p') AS tables, count(*) FILTER (WHERE CASE relkind
    WHEN 'p' THEN NOT relispartition AND reltuples < 0
    ELSE main > 0 AND (reltuples < 0 OR main > 2 * page * relpages
      OR 2 * pg_stat_get_mod_since_analyze(oid) > reltuples) END) AS stale
FROM (SELECT oid, relkind, relispartition, reltoastrelid, reltuples::float8, relpages::bigint,
    pg_relation_size(oid) AS main, current_setting('block_size')::int AS page
  FROM pg_class JOIN {tables} AS tables USING (oid)) AS each
"""


def table_size(session: Session, table: str) -> TableSize:
    """Return the size of a table that exists."""
    size = TableSize(**session.row(_SIZE.format(tables=FAMILY), (str(session.schema[table]),)))
    if not session.on_cluster:
        return size
    from aoc_migrate.database.spread.shards import on_shards

    found = on_shards(session, f"how large {table} is", _SIZE, session.schema[table])
    nodes = [row for row in found if row["page_bytes"]]  # a node may have no shard
    if not nodes:
        return size
    sums = {name: sum(row[name] for row in nodes) for name in _SUMS}
    known = all(row["rows"] is not None for row in nodes)
    return replace(size, rows=sum(row["rows"] for row in nodes) if known else None, **sums)


def stale_statistics(session: Session, table: str, size: TableSize, *, measured: bool) -> Iterator[Finding]:
    """Yield ``statistics-stale`` for a table larger than a sample, or one that could not be ``measured``.

    ANALYZE of a partitioned table also analyzes its partitions (PostgreSQL 15 manual, ANALYZE).
    """
    if not size.stale or not catalog.may_read(session, table) or (measured and size.pages <= SAMPLE_PAGES):
        return
    parts = "shards" if session.on_cluster else "partitions"
    which = f"{size.stale} of {size.tables} tables ({table} and its {parts})" if size.tables > 1 else table
    also = " It covers the partitions." if is_partitioned(session, table) else ""
    yield finding("statistics-stale", table, which=which, quoted=str(session.schema[table]), also=also)
