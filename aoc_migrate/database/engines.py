"""Engines that speak PostgreSQL's protocol and are not PostgreSQL, recognized by what they alone answer."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import finding

_COCKROACH, _YUGABYTE = "CockroachDB", "YugabyteDB"
ENGINE = f"""CASE
  WHEN pg_catalog.strpos(pg_catalog.version(), 'CockroachDB') OPERATOR(pg_catalog.>) 0 THEN '{_COCKROACH}'
  WHEN pg_catalog.strpos(pg_catalog.version(), '-YB-') OPERATOR(pg_catalog.>) 0 THEN '{_YUGABYTE}'
  WHEN pg_catalog.to_regclass('rds_aurora.limitless_tables') IS NOT NULL
    THEN 'Aurora PostgreSQL Limitless Database'
  WHEN EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'shardman')
    THEN 'Postgres Pro Shardman' END"""
"""SQL for the name of the engine; NULL for PostgreSQL, and for Citus, which is an extension of it."""


@contextmanager
def refusing_others(connection: psycopg.Connection[Any], target: Target) -> Iterator[None]:
    """Refuse another engine: one that says so as it greets us, or that rejects a statement of the block.

    Raises Abort ``other-engine`` (exit 2).
    """
    greeted = connection.info.parameter_status
    refuse(_COCKROACH if greeted("crdb_version") else None, target)
    refuse(_YUGABYTE if "-YB-" in (greeted("server_version") or "") else None, target)
    try:
        yield
    except psycopg.Error:
        with suppress(psycopg.Error):
            row = connection.execute(f"SELECT {ENGINE}").fetchone()
            refuse(row[0] if row else None, target)
        raise


def refuse(engine: str | None, target: Target) -> None:
    """Raise Abort ``other-engine`` unless ``engine`` is None."""
    if engine:
        raise Abort(finding("other-engine", target.name, engine=engine))
