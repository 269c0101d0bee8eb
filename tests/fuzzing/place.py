"""Where an example is tried: a clone of a prepared database, made in an instant, and gone after it."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from aoc_migrate.sandbox.databases import RAW_TABLES, create_legacy_advisory, create_raw_table
from tests.conftest import Aoc, Database, Ran

RETROFIT = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
_number = itertools.count()


@dataclass
class Place:
    """A server that examples may use; ``url`` is a superuser's.

    ``made`` are the templates that exist, ``kept`` the connections that several examples use.
    """

    url: str
    made: dict[str, str] = field(default_factory=dict)
    kept: dict[str, psycopg.Connection[Any]] = field(default_factory=dict)

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Connect to a database, in autocommit."""
        with psycopg.connect(self.url, dbname=database, autocommit=True) as connection:
            yield connection

    @contextmanager
    def clone(self, target: str, kind: str, make: Callable[[Database], None]) -> Iterator[Database]:
        """Yield a new database of a target, copied from the template ``kind`` that ``make`` made once."""
        if kind not in self.made:
            name = self.create("template0")
            with self.connect(name) as connection:
                make(Database(connection, RAW_TABLES[target], target))
            self.made[kind] = name
        name = self.create(self.made[kind])
        try:
            with self.connect(name) as connection:
                yield Database(connection, RAW_TABLES[target], target)
        finally:
            self.drop(name)

    def keep(self, target: str, kind: str, make: Callable[[Database], None]) -> psycopg.Connection[Any]:
        """Return a connection to a database that ``make`` made once, for several examples."""
        if kind not in self.kept:
            name = self.create("template0")
            self.kept[kind] = psycopg.connect(self.url, dbname=name, autocommit=True)
            make(Database(self.kept[kind], RAW_TABLES[target], target))
        return self.kept[kind]

    def create(self, template: str, name: str = "") -> str:
        """Create a database, and return its name."""
        name = name or f"fuzz_{os.getpid()}_{next(_number)}"
        with self.connect() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.connect() as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Drop the databases that are left."""
        while self.kept:
            connection = self.kept.popitem()[1]
            name = connection.info.dbname
            connection.close()
            self.drop(name)
        while self.made:
            self.drop(self.made.popitem()[1])


def place_of(endpoint: Any) -> Place:
    """Return the place on the server of the tests."""
    known = {name: getattr(endpoint, name) for name in ("host", "port", "user", "password")}
    return Place(psycopg.conninfo.make_conninfo("", **known, dbname="postgres"))


def legacy(database: Database) -> None:
    """Make the tables of a deployment before the contract; the raw table has links."""
    create_raw_table(database.connection, database.table)
    database.run(f"ALTER TABLE {database.table} ADD supersedes text")
    if database.target == "concelier":
        create_legacy_advisory(database.connection)


def commands(database: Database, **more: str) -> Aoc:
    """Return the command, configured for a database, with the backfill allowed."""
    return Aoc({f"{database.target.upper()}_DATABASE_URL": database.url} | RETROFIT | more)


def passes(aoc: Aoc, *words: str) -> Ran:
    """Run a command with ``--format json``, which must exit 0."""
    ran = aoc.json(*words)
    assert ran.exit_code == 0, said_by(words, ran)
    return ran


def said_by(words: Sequence[str], ran: Ran) -> str:
    """Return in a few lines what a command said: exit code, findings, what is next, and its log."""
    lines = [f"aoc-migrate {' '.join(words)}: exit code {ran.exit_code}"]
    for report in ran.json["reports"] if ran.out.startswith("{") else []:
        lines += [f"{found['severity']} {found['slug']}: {found['problem']}" for found in report["findings"]]
        lines.append(f"next: {report['next']}")
    return "\n".join([*lines, ran.err])
