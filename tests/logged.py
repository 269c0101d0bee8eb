"""A server of a test's own whose log the test reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from aoc_migrate.sandbox.databases import create_raw_table
from aoc_migrate.sandbox.state import load_state
from tests.conftest import Database
from tests.servers import guarded_server


@contextmanager
def logged(folder: Path, **settings: str) -> Iterator[tuple[Database, Path]]:
    """Give excititor's database on a new server with these settings, and the file of its log."""
    server = guarded_server(folder / "pg")
    server.start()
    state = load_state(server.folder)
    assert state is not None
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
            create_raw_table(connection, "vex_raw")
            yield Database(connection, "vex_raw", "excititor"), state.log
    finally:
        server.delete()
