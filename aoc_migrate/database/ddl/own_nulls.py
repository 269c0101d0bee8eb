"""NOT NULL that a partition had by itself, where its partitioned table had none.

Before PostgreSQL 18, DROP NOT NULL on the table takes it from every partition, whoever set it there. A downgrade
sets it again, and a CHECK that was proven under a weak lock spares it the scan under the strong one.
"""

import hashlib
from typing import Any

from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.run import strong, weak
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session


def _proof(table: Relation) -> str:
    """Return the name of the CHECK; a partition of a partition inherits that of its parent beside its own."""
    return f"aoc_kept_not_null_{hashlib.sha256(str(table).encode()).hexdigest()[:8]}"


def own_not_nulls(table: Relation, listed: str) -> str:
    """Return an expression for (schema, name, columns) of partitions with NOT NULL that their parents lack.

    ``listed``: the columns that are asked for, as SQL literals.
    """
    return (
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(schema, name, columns)), '[]') FROM ("
        "SELECT n.nspname AS schema, c.relname AS name, jsonb_agg(a.attname ORDER BY a.attnum) AS columns "
        f"FROM pg_partition_tree(to_regclass({table.literal})) t JOIN pg_class c ON c.oid = t.relid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnotnull AND a.attname IN ({listed}) "
        "JOIN pg_attribute r ON r.attrelid = t.parentrelid AND r.attname = a.attname "
        "AND NOT r.attnotnull GROUP BY 1, 2) AS own)"
    )


def drop_not_nulls(session: Session, table: str, columns: tuple[str, ...], found: dict[str, Any]) -> None:
    """Drop NOT NULL of a partitioned table, but for what ``found`` says was there before, one column at a time."""
    own = _still_parts(session, table, columns, found.get("own_not_null", []))
    for partition, kept in own.items():
        _prove(session, partition, kept)
    nullable, raw = catalog.nullable(session, table, columns), session.schema[table]
    for column in columns:
        if column not in nullable and column not in found["not_null"]:
            again = [f"ALTER TABLE {part} ALTER {column} SET NOT NULL" for part in own if column in own[part]]
            strong(raw, [f"ALTER TABLE {raw} ALTER {column} DROP NOT NULL", *again])
    for partition in own:
        strong(partition, [f"ALTER TABLE {partition} DROP CONSTRAINT IF EXISTS {_proof(partition)}"])


def _still_parts(
    session: Session, table: str, columns: tuple[str, ...], own: list[list[Any]]
) -> dict[Relation, list[str]]:
    """Return those that PostgreSQL would not keep; a partition that was detached keeps what it has.

    What was recorded is data: of it only partitions and columns count that there are.
    """
    if session.connection.info.server_version >= 180000:
        return {}
    rows = session.rows(
        f"SELECT n.nspname::text AS schema, c.relname::text AS name FROM {FAMILY} AS family "
        "JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace",
        (str(session.schema[table]),),
    )
    family = {Relation(row["schema"], row["name"]) for row in rows}
    kept = {Relation(schema, name): [c for c in columns if c in named] for schema, name, named in own}
    return {partition: named for partition, named in kept.items() if partition in family and named}


def _prove(session: Session, partition: Relation, columns: list[str]) -> None:
    proven = session.value(
        "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
        (str(partition), _proof(partition)),
    )
    if proven is None:
        predicate = " AND ".join(f"{column} IS NOT NULL" for column in columns)
        add = f"ADD CONSTRAINT {_proof(partition)} CHECK ({predicate}) NOT VALID"
        strong(partition, [f"ALTER TABLE {partition} {add}"])
    if not proven:
        weak(partition, f"ALTER TABLE {partition} VALIDATE CONSTRAINT {_proof(partition)}")
