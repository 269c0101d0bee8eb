"""Audit of the table's shape: its kind, its columns and its primary key."""

import re
from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import Column
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.inspect.distribution import distribution_findings
from aoc_migrate.inspect.partitioning import audit_id, audit_partitions
from aoc_migrate.report.model import Finding, finding

_OPTIONAL = ("supersedes", "created_at")
_ACCEPTED_TYPES = {
    "text": ("text", "character varying"),
    "timestamptz": ("timestamp with time zone",),
    "jsonb": ("jsonb",),
}
SHAPE = "columns have the names and types of the contract, and the table has a key"
UNUSABLE = ("table-kind", "column-missing", "column-type", "distribution-key")
"""Findings of `audit_columns` after which no rows can be checked."""
_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}


def audit_columns(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield what is wrong with the table itself, without reading a row."""
    table = contract.table
    kind = catalog.kind(session, table)
    if kind not in ("r", "p"):
        yield finding("table-kind", table, kind=_KINDS.get(str(kind), "relation"))
        return
    if unlogged := _in_family(session, table, "relkind = 'r' AND relpersistence = 'u'"):
        yield finding("table-unlogged", table, names=", ".join(unlogged), first=unlogged[0])
    existing = catalog.columns(session, table)
    for column in contract.columns:
        yield from _audit_column(table, column, existing)
    known = {column.name for column in contract.columns}
    for name, type_ in existing.items():
        if name in contract.forbidden_keys or name.startswith(contract.forbidden_prefix):
            yield finding("forbidden-column", f"{table}.{name}", column=name)
        if name not in known and type_ in ("jsonb", "json"):
            yield finding("unguarded-column", f"{table}.{name}", column=name)
    spread = spread_of(session, table)
    if wrong := [*distribution_findings(session, table, spread)]:
        yield from wrong
    elif spread.partitioned:
        yield from audit_partitions(session, contract, spread)
    elif children := _children(session, table):
        yield finding("child-tables", table, names=", ".join(children), child=children[0], raw=str(session.raw))
    else:
        yield from audit_id(session, table, spread)


def _audit_column(table: str, column: Column, existing: dict[str, str]) -> Iterator[Finding]:
    actual = existing.get(column.name)
    values = {"column": column.name, "type": column.type}
    if actual is None:
        if column.name not in _OPTIONAL:
            yield finding("column-missing", f"{table}.{column.name}", **values)
    elif re.sub(r"\(\d+\)", "", actual) not in _ACCEPTED_TYPES[column.type]:
        yield finding("column-type", f"{table}.{column.name}", actual=actual, **values)


def _in_family(session: Session, table: str, condition: str) -> list[str]:
    """Return those of ``table`` and its partitions for which the SQL condition holds, qualified and quoted."""
    rows = session.rows(
        f"SELECT c.oid::regclass::text AS name FROM {FAMILY} AS family JOIN pg_class c USING (oid) "
        f"WHERE {condition} ORDER BY 1",
        (str(session.schema[table]),),
    )
    return [row["name"] for row in rows]


def _children(session: Session, table: str) -> list[str]:
    """Return the tables that inherit from ``table``, qualified and quoted."""
    rows = session.rows(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(%s) ORDER BY 1",
        (str(session.schema[table]),),
    )
    return [row["name"] for row in rows]
