"""What partitions had of their own: recorded on the way up, and found again on the way down.

A partition or an index may have another name by then, and in a restored database it has another oid. So both are
recorded: [schema, name, oid], for NOT NULL with the columns. Oids count in the database where they were recorded,
which still has the same state table.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.relation import VARIABLE, Relation, Schema
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.state import recorded


def recorded_in(schema: Schema) -> str:
    """Return the fact that says in which database oids were recorded."""
    return f", 'recorded_in', {schema[STATE].literal}::regclass::oid::bigint"


def leaf_indexes(table: Relation) -> str:
    """Return an expression for (schema, name, oid) of the partitions' own indexes.

    A downgrade keeps those that were attached.
    """
    return (
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, x.relname, x.oid::bigint) ORDER BY x.oid), '[]') "
        f"FROM pg_partition_tree({table.literal}) t JOIN pg_index i ON i.indrelid = t.relid "
        "JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace "
        "WHERE t.isleaf AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid))"
    )


def was_own(schema: Schema, revision: str, key: str, of: str, more: str = "true") -> str:
    """Return the condition that one of the relations ``of`` is recorded under ``key``, and ``more`` holds.

    A script asks for none: it refuses a partitioned table.
    """
    if schema == VARIABLE:
        return "false"
    return recorded(
        schema,
        revision,
        f"EXISTS (SELECT FROM jsonb_array_elements(value->'{key}') AS own (own), {of} AS c (oid) "
        f"JOIN pg_class r ON r.oid = c.oid JOIN pg_namespace n ON n.oid = relnamespace WHERE {more} "
        f"AND {_is_own(schema)})",
    )


def found_again(
    session: Session, table: Relation, found: Mapping[str, Any], key: str
) -> dict[Relation, list[str]]:
    """Return the partitions, or their indexes, that are recorded in ``found`` under ``key``, with their columns.

    The record is data: only what still belongs to ``table`` counts.
    """
    rows = session.rows(
        "SELECT n.nspname::text AS schema, r.relname::text AS name, own->3 AS columns "
        "FROM (SELECT %s::jsonb AS value) AS record, jsonb_array_elements(value->%s) AS own (own), "
        f"(WITH tables AS (SELECT oid FROM {FAMILY} AS family) SELECT oid FROM tables UNION ALL "
        "SELECT indexrelid FROM pg_index JOIN tables ON indrelid = tables.oid) AS c (oid) "
        f"JOIN pg_class r ON r.oid = c.oid JOIN pg_namespace n ON n.oid = relnamespace "
        f"WHERE {_is_own(session.schema)}",
        (Jsonb(found), key, str(table)),
    )
    return {Relation(row["schema"], row["name"]): row["columns"] or [] for row in rows}


def _is_own(schema: Schema) -> str:
    """Return the condition that relation ``r`` in schema ``n`` is the element ``own`` of the record ``value``.

    REINDEX CONCURRENTLY leaves the name of an index, and no object with its oid.
    """
    here = f"value->>'recorded_in' = to_regclass({schema[STATE].literal})::oid::text"
    return (
        f"CASE WHEN {here} AND EXISTS (SELECT FROM pg_class WHERE oid = (own->>2)::oid) "
        "THEN r.oid = (own->>2)::oid ELSE own->>0 = n.nspname AND own->>1 = r.relname END"
    )
