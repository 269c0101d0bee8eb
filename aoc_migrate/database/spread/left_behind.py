"""What an interrupted run may leave on partitions, and no other session is at work on."""

from aoc_migrate.contract.model import Index
from aoc_migrate.database.questions import MAINTAINING
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY, similar

TWIN = "_kept"
"""How the name of the twin of a partition's index ends."""
PROOF = "aoc_kept_not_null_"
"""How the name of a CHECK begins that proves a partition's own NOT NULL."""

_INDEXES = f"""
SELECT n.nspname::text AS schema, c.relname::text AS table, x.relname::text AS name
FROM {FAMILY} AS family JOIN pg_index i ON i.indrelid = family.oid JOIN pg_class x ON x.oid = i.indexrelid
  JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.relkind = 'i' AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid)
  AND (right(x.relname, length(%s)) = %s OR NOT i.indisvalid AND EXISTS (
    SELECT FROM pg_index j JOIN pg_class y ON y.oid = j.indexrelid WHERE j.indrelid = i.indrelid
    AND starts_with(x.relname, y.relname || '_ccnew') AND j.indexrelid IN (SELECT oid FROM {FAMILY} AS parts)))
  AND NOT EXISTS (SELECT FROM pg_locks WHERE relation = i.indrelid AND mode = '{MAINTAINING}'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1, 2, 3
"""


def index_leftovers(session: Session, table: Relation, index: Index) -> list[tuple[Relation, Relation]]:
    """Return partitions with twins of their indexes, or with what REINDEX CONCURRENTLY has left of ``index``."""
    twin = f"_{index.name.removeprefix(f'{table.name}_')}{TWIN}"
    rows = session.rows(_INDEXES, (str(table), twin, twin, str(Relation(table.schema, index.name))))
    found = [(Relation(r["schema"], r["table"]), Relation(r["schema"], r["name"])) for r in rows]
    return [(partition, name) for partition, name in found if name in similar(session, partition, index)]


def proofs(session: Session, table: Relation) -> list[tuple[Relation, str]]:
    """Return the partitions with a CHECK that proves their own NOT NULL, and the name of that CHECK."""
    rows = session.rows(
        "SELECT n.nspname::text AS schema, c.relname::text AS table, conname::text AS name "
        f"FROM {FAMILY} AS family JOIN pg_constraint ON conrelid = family.oid JOIN pg_class c ON c.oid = conrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE contype = 'c' AND conislocal AND starts_with(conname, %s) ORDER BY 1, 2, 3",
        (str(table), PROOF),
    )
    return [(Relation(row["schema"], row["table"]), row["name"]) for row in rows]
