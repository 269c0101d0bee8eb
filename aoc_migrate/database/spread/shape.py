"""How a table is spread: over partitions, over the nodes of a Citus cluster, or over both."""

from dataclasses import dataclass
from enum import StrEnum

from aoc_migrate.database.relation import Relation, literal
from aoc_migrate.database.session import Session


class Placement(StrEnum):
    """What Citus makes of a table that it manages (pg_dist_partition, Citus 13)."""

    DISTRIBUTED = "distributed"
    REFERENCE = "reference"
    LOCAL = "Citus-local"
    SINGLE_SHARD = "schema-sharded"
    APPEND = "append-distributed"


@dataclass(frozen=True)
class Spread:
    """How the rows of a table are spread.

    ``partitioned``: it has partitions. ``placement``: what Citus makes of it; None where Citus does not manage it.
    ``column``: the column that it is distributed by, if it is.
    """

    partitioned: bool
    placement: Placement | None = None
    column: str | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns by which a statement finds a row. Distributed, ``id`` alone would ask every shard."""
        return ("id", self.column) if self.column else ("id",)

    def same(self, row: str, known: str, id_: str = "id") -> str:
        """Return the condition that ``row`` is the one whose id is the column ``id_`` of ``known``.

        The rows of ``known`` have the column that the table is distributed by, and its value is the same.
        """
        shard = f" AND {row}.{self.column} = {known}.{self.column}" if self.column else ""
        return f"{row}.id = {known}.{id_}{shard}"


PLAIN = Spread(partitioned=False)


_KIND = """
SELECT relkind = 'p' AS partitioned, to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS citus
FROM pg_class WHERE relname = %s AND relnamespace = to_regnamespace(quote_ident(%s))
"""
_PLACEMENT = """
SELECT column_to_column_name(logicalrelid, partkey) AS column, CASE WHEN partmethod = 'h' THEN 'distributed'
  WHEN partmethod <> 'n' THEN 'append-distributed' WHEN repmodel = 't' THEN 'reference'
  WHEN colocationid <> 0 THEN 'schema-sharded' ELSE 'Citus-local' END AS placement
FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass(%s)
"""


def spread_of(session: Session, table: str) -> Spread:
    """Return how ``table`` is spread; `PLAIN` for a table of one server without partitions, and a missing one."""
    found = next(iter(session.rows(_KIND, (table, session.target.schema))), None)
    if found is None:
        return PLAIN
    placed = session.rows(_PLACEMENT, (str(session.schema[table]),)) if found["citus"] else []
    if placed:
        return Spread(found["partitioned"], Placement(placed[0]["placement"]), placed[0]["column"])
    return Spread(found["partitioned"])


CITUS_MANAGES = "SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger') AND tgrelid"
"""The beginning of a query that finds a table of Citus even where there is no Citus, and so no catalog of it."""


def refuse_spread(raw: Relation) -> str:
    """Return the statement that ends a printed migration on a spread table, whose steps only the catalog knows."""
    message = f"{raw.name} is partitioned, or Citus manages it: run alembic without --sql, or aoc-migrate"
    return f"""DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({raw.literal}) AND relkind = 'p')
    OR EXISTS ({CITUS_MANAGES} = to_regclass({raw.literal})) THEN
    RAISE EXCEPTION '%', {literal(message)};
  END IF;
END $aoc$"""
