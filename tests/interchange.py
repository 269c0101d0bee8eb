"""Databases with everything that we leave in one, their copies, and what must be true of a copy."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from aoc_migrate.revisions.graph import history
from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc, Database
from tests.faults.outcome import outcome
from tests.helpers import fill

ALLOWED = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
_numbers = count()


def program(words: list[str], feed: bytes | None = None, binaries: Path | None = None) -> bytes:
    """Run a program of PostgreSQL's, which must succeed, and return what it printed."""
    ran = subprocess.run(
        [str((binaries or find_binaries()) / words[0]), *words[1:]],
        input=feed,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PG")},
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def live(database: Database, aoc: Aoc, revision: str) -> None:
    """Take a database to a revision the long way: repaired, deduplicated, and with what its owners added."""
    table, target = database.table, database.target
    aoc.configure(database)
    database.run(f"COMMENT ON TABLE {table} IS 'raw, as received'; COMMENT ON COLUMN {table}.tenant IS 'who'")
    database.run(f"ALTER TABLE {table} REPLICA IDENTITY FULL, ALTER source SET STATISTICS 500")
    fill(database, 20)
    database.add("bad", source={"severity": "low"}, content_hash="a")
    database.add("gone", tenant=None, content_hash="b")
    database.add("once", content_hash="same")
    database.add("twice", content_hash="same", retrieved_at="2025-01-02T00:00:00Z")
    assert aoc("repair", target, "--rule", "all", "--apply").exit_code == 0
    assert aoc("dedupe", target, "--apply").exit_code == 0
    ran = aoc("upgrade", target, revision, **ALLOWED)
    assert ran.exit_code == 0, ran.out + ran.err
    assert database.value(f"SELECT count(*) FROM {table}_quarantine") == 3


@contextmanager
def empty_copy(database: Database) -> Iterator[Database]:
    """Yield a new database next to another one."""
    name = f"copy_{os.getpid()}_{next(_numbers)}"
    database.run(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        url = f"{database.url.rpartition('/')[0]}/{name}"
        connection: psycopg.Connection[Any]
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            yield Database(connection, database.table, database.target)
    finally:
        database.run(f"DROP DATABASE {name} WITH (FORCE)")


def outcome_without_owners(connection: "psycopg.Connection[Any]") -> list[str]:
    """Return the outcome of a command without owners and rights."""
    lines = []
    for line in outcome(connection):
        name, _, definition = line.partition(" | {")
        known = json.loads(f"{{{definition}") if definition else {}
        lines.append(f"{name} {[item for item in known.items() if item[0] not in ('owner', 'rights')]}")
    return lines


def is_clean(database: Database, aoc: Aoc, revision: str) -> None:
    """Check that verify is clean at the revision, and that status says so."""
    aoc.configure(database)
    below = [] if revision == history(database.target)[-1].id else ["not-at-head"]
    ran = aoc.json("verify", database.target, "--probe")
    assert (ran.exit_code, ran.slugs()) == (0, below), ran.slugs()
    assert aoc.json("status", database.target).report["revision"] == revision


def goes_on(database: Database, aoc: Aoc) -> None:
    """Check that a copy has its ledger, gives its quarantine back at base, and goes up again to a clean head."""
    target, table = database.target, database.table
    runs = aoc.json("history", target).report["facts"]["runs"]
    assert [run["command"].split()[0] for run in runs][-3:] == ["upgrade", "dedupe", "repair"]
    down = aoc.json("downgrade", target, "base")
    assert (down.exit_code, down.slugs("error")) == (0, []), down.out
    for _ in range(2):
        restored = aoc("repair", target, "--restore", "--apply")
        assert restored.exit_code == 0, restored.out
    assert database.value(f"SELECT count(*) FROM {table} WHERE id IN ('bad', 'gone', 'once', 'twice')") == 4
    assert database.value(f"SELECT count(*) FROM {table}_quarantine") == 0
    assert aoc("repair", target, "--rule", "all", "--apply").exit_code == 0
    assert aoc("dedupe", target, "--apply").exit_code == 0
    up = aoc("upgrade", target, "--release-hold", **ALLOWED)
    assert up.exit_code == 0, up.out
    is_clean(database, aoc, history(target)[-1].id)
