"""Load advisories into the databases of the running sandbox, from a file or generated."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.errors import refused
from aoc_migrate.sandbox.databases import RAW_TABLES
from aoc_migrate.sandbox.envelope import Loaded
from aoc_migrate.sandbox.feed import feed_table, load_feed
from aoc_migrate.sandbox.server import default_server
from aoc_migrate.sandbox.synthetic import load_synthetic

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # otherwise Python prints what it warns of

NOT_RUNNING = 3
"""The exit code where the sandbox does not run."""


def load_file(target: str | None, path: Path, tenant: str, *, skip: bool) -> Iterator[tuple[str, Loaded]]:
    """Load a file into the raw table of ``target``, or of the target that its lines name; yield table and result.

    Raises Abort: exit 2 for a file that cannot be loaded, 3 where the sandbox does not run.
    """
    table = RAW_TABLES[target] if target else feed_table(path)
    database = next((name for name, raw_table in RAW_TABLES.items() if raw_table == table), None)
    if database is None or table is None:
        raise refused(
            f"{path} does not say which target it belongs to. Put concelier or excititor before the file."
        )
    with _connected(database) as connection:
        yield table, load_feed(connection, table, path, tenant, skip=skip)


def load_generated(target: str | None, rows: int, **options: Any) -> Iterator[tuple[str, Loaded]]:
    """Generate rows for ``target``, or for both; yield each table with the result. Raises Abort as `load_file`."""
    for name in [target] if target else list(RAW_TABLES):
        with _connected(name) as connection:
            yield RAW_TABLES[name], load_synthetic(connection, RAW_TABLES[name], rows, **options)


def _connected(target: str) -> "psycopg.Connection[Any]":
    server = default_server()
    if not server.running():
        raise refused("The sandbox is not running. Run: aoc-migrate sandbox start", NOT_RUNNING)
    try:
        return psycopg.connect(server.url(target))
    except psycopg.OperationalError:
        raise refused(
            f"The sandbox has no database {target}. Run: aoc-migrate sandbox start", NOT_RUNNING
        ) from None
