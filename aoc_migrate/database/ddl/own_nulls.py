"""NOT NULL that a partition had by itself, where its partitioned table had none.

Before PostgreSQL 18, DROP NOT NULL on the table takes it from every partition, whoever set it there. A downgrade
sets it again, and a CHECK that was proven under a weak lock spares it the scan under the strong one.
"""

import hashlib
from typing import Any

from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.run import strong, weak
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.session import Session


def _proof(name: str) -> str:
    """Return the name of the CHECK; a partition of a partition inherits that of its parent beside its own."""
    return f"aoc_kept_not_null_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def own_not_nulls(table: str, listed: str) -> str:
    """Return an expression for the columns, of those ``listed``, NOT NULL in a partition and not above it."""
    return (
        "(SELECT coalesce(jsonb_object_agg(name, columns), '{}') FROM (SELECT t.relid::regclass::text AS name, "
        "jsonb_agg(a.attname ORDER BY a.attnum) AS columns FROM pg_partition_tree(to_regclass('"
        f"{table}')) t JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnotnull AND a.attname IN ({listed}) "
        "JOIN pg_attribute r ON r.attrelid = t.parentrelid AND r.attname = a.attname "
        "AND NOT r.attnotnull GROUP BY 1) AS own)"
    )


def drop_not_nulls(session: Session, table: str, columns: tuple[str, ...], found: dict[str, Any]) -> None:
    """Drop NOT NULL of a partitioned table, but for what ``found`` says was there before, one column at a time."""
    own = _still_parts(session, table, found.get("own_not_null", {}))
    for name, kept in own.items():
        _prove(session, name, kept)
    nullable = catalog.nullable(session, table, columns)
    for column in columns:
        if column not in nullable and column not in found["not_null"]:
            again = [f"ALTER TABLE {name} ALTER {column} SET NOT NULL" for name in own if column in own[name]]
            strong(table, [f"ALTER TABLE {table} ALTER {column} DROP NOT NULL", *again])
    for name in own:
        strong(name, [f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {_proof(name)}"])


def _still_parts(session: Session, table: str, own: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return those that PostgreSQL would not keep; a partition that was detached keeps what it has."""
    if session.connection.info.server_version >= 180000:
        return {}
    family = session.rows(f"SELECT oid::regclass::text AS name FROM {FAMILY} AS family", (table,))
    return {row["name"]: own[row["name"]] for row in family if row["name"] in own}


def _prove(session: Session, name: str, columns: list[str]) -> None:
    proven = session.value(
        "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
        (name, _proof(name)),
    )
    if proven is None:
        predicate = " AND ".join(f"{column} IS NOT NULL" for column in columns)
        strong(name, [f"ALTER TABLE {name} ADD CONSTRAINT {_proof(name)} CHECK ({predicate}) NOT VALID"])
    if not proven:
        weak(name, f"ALTER TABLE {name} VALIDATE CONSTRAINT {_proof(name)}")
