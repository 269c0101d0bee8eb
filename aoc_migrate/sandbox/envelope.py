"""A row of a raw table, and COPY of many rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from aoc_migrate.errors import refused


class Envelope(NamedTuple):
    """The columns that ingestion writes. The last five are JSON as text; None is SQL NULL."""

    id: str
    tenant: str | None
    source_vendor: str | None
    upstream_id: str | None
    content_hash: str | None
    retrieved_at: str | None
    source: str | None
    upstream: str | None
    linkset: str | None
    content: str | None
    identifiers: str | None


@dataclass(frozen=True)
class Loaded:
    """The result of a load: rows written, and skipped lines by reason."""

    rows: int
    skipped: Mapping[str, int] = field(default_factory=dict)


def as_json(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def copy_rows(connection: psycopg.Connection[Any], table: str, rows: Iterable[Envelope]) -> int:
    """Write all rows in one transaction, with one row in memory at a time, and return their number.

    Raises Abort (exit 2) if PostgreSQL refuses a row, and whatever ``rows`` raises.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, Envelope._fields))
    )
    count = 0
    try:
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
                    count += 1
            return count
    except psycopg.errors.UniqueViolation:
        raise refused(
            f"{table} already has rows with the same ids, and rows are never replaced. Nothing was loaded. "
            "To start over: aoc-migrate sandbox stop --delete"
        ) from None
    except (psycopg.errors.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        # The server's own message quotes the document.
        raise refused(
            f"PostgreSQL refused a document for {table} ({type(error).__name__}). Nothing was loaded."
        ) from None
    except psycopg.Error as error:
        raise refused(f"{table} cannot be loaded: {_sentence(error)} Nothing was loaded.") from None


def _sentence(error: psycopg.Error) -> str:
    return (error.diag.message_primary or type(error).__name__).rstrip(".") + "."
