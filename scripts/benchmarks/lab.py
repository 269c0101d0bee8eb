"""A server for measuring, with production settings: it syncs, keeps full pages, and has memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from aoc_migrate.sandbox.server import Server, find_binaries
from scripts.benchmarks.results import say, seconds
from scripts.benchmarks.rows import load

ROOT = Path(__file__).resolve().parent.parent.parent
AOC = (sys.executable, "-m", "aoc_migrate")
TABLE = "advisory_raw"
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "shared_buffers": "2GB",
    "max_wal_size": "2GB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",  # with it, two runs would differ
}


@dataclass
class Lab:
    """The server, and databases of ``rows`` rows, made once; what changes one gets a clone."""

    folder: Path
    rows: int
    seed: int
    made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.server = Server(self.folder / "server", find_binaries())

    @contextmanager
    def running(self) -> Iterator["Lab"]:
        """Start the server with production settings, and delete it at the end."""
        try:
            self.server.start()
            self.set(SETTINGS)
            self.restart()
            yield self
        finally:
            self.server.delete()

    def set(self, settings: Mapping[str, str]) -> None:
        """Write settings, which hold after `restart`."""
        with self.connect("postgres") as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())

    def restart(self) -> None:
        """Stop the server, and start it."""
        self.server.stop()
        self.server.start()

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """Return a connection in autocommit."""
        return psycopg.connect(self.server.url(database), autocommit=True)

    def legacy(self) -> str:
        """Return the database before the contract, with documents. Do not change it."""
        return self._make("legacy", lambda: self.create("legacy", documents=True))

    def light(self) -> str:
        """Return a database at concelier_0005 without documents, which the backfill never reads."""

        def make() -> None:
            self.create("light", documents=False)
            self.aoc("light", "upgrade", "concelier", "concelier_0005")
            with self.connect("light") as connection:
                connection.execute(f"VACUUM (ANALYZE, FREEZE) {TABLE}".encode())

        return self._make("light", make)

    def _make(self, name: str, make: Callable[[], None]) -> str:
        if name not in self.made:
            make()
            self.made.add(name)
        return name

    def create(self, name: str, *, documents: bool, rows: int | None = None) -> None:
        """Create a database as it is before the contract; replace one of that name."""
        self.replace(name, "template1")
        with self.connect(name) as connection:
            create_raw_table(connection, TABLE)
            create_legacy_advisory(connection)
            count = rows or self.rows
            took = seconds(lambda: load(connection, TABLE, count, self.seed, documents=documents))
        say(f"{name}: {count:,} rows loaded in {took:.0f} s")

    def clone(self, template: str, name: str) -> str:
        """Copy a database, and read its rows into the cache as far as they fit."""
        self.replace(name, template)
        self.warm(name)
        return name

    def replace(self, name: str, template: str) -> None:
        """Replace a database by a copy of a template."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
            connection.execute("CHECKPOINT")

    def drop(self, name: str) -> None:
        """Drop a database that is not needed again, with its dirty pages."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        self.made.discard(name)

    def warm(self, name: str) -> None:
        """Read table and indexes once."""
        with self.connect(name) as connection:
            connection.execute(f"SELECT count(id), count(source), count(upstream) FROM {TABLE}".encode())

    def aoc(self, database: str, *words: str, **environment: str) -> dict[str, Any]:
        """Run a command on a database, which must succeed; return its only report."""
        environment = {"CONCELIER_DATABASE_URL": self.server.url(database)} | environment
        ran = run([*AOC, *words, "--format", "json"], **environment)
        (report,) = json.loads(ran)["reports"]
        return dict(report)


def run(command: list[str], **environment: str) -> str:
    """Run a command, which must succeed; return what it prints."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AOC_", "PG", "CONCELIER", "EXCITITOR"))}
    allowed = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true", "AOC_GUARD_ENABLED": "false", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=kept | allowed | environment
    )
    if ran.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout


def step(report: dict[str, Any], beginning: str) -> dict[str, Any]:
    """Return the first step of a report whose statement contains ``beginning``."""
    return next(dict(step) for step in report["steps"] if beginning in step["statement"])


def wal(connection: psycopg.Connection[Any], action: Callable[[], Any]) -> int:
    """Return the bytes of WAL that an action writes."""
    before = value(connection, "SELECT pg_current_wal_insert_lsn()")
    action()
    return int(value(connection, f"SELECT pg_current_wal_insert_lsn() - '{before}'::pg_lsn"))


def value(connection: psycopg.Connection[Any], query: str) -> Any:
    """Return the first column of the first row."""
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
