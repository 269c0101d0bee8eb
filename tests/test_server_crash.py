"""The server crashes during the backfill, whose batches do not wait for their commits, or after it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_raw_table
from aoc_migrate.sandbox.server import Server
from tests.conftest import Aoc, Database
from tests.helpers import fill, wait_until, wrong_links
from tests.servers import crash, running_server

JOURNALED = """SELECT links[n][1], links[n][2]
FROM aoc_supersedes_journal, generate_series(1, array_length(links, 1)) AS n ORDER BY 1"""
LINKED = "SELECT id, supersedes FROM vex_raw WHERE supersedes IS NOT NULL ORDER BY 1"
COUNTED = "SELECT (value->>'rows')::int FROM aoc_migration_state WHERE name = 'excititor_0006'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that writes commits that nobody waits for only once in ten seconds, and for no other reason."""
    with running_server() as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for setting in ("wal_writer_delay = '10s'", "wal_buffers = '64MB'", "bgwriter_lru_maxpages = 0"):
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        server.stop()
        server.start()
        yield server


@contextmanager
def connected(server: Server, name: str) -> Iterator[Database]:
    """Connect to a database of the server."""
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        yield Database(connection, "vex_raw", "excititor")


def prepare(server: Server, name: str, aoc: Aoc) -> None:
    """Create a database with 20,000 rows that are to be linked."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with connected(server, name) as database:
        create_raw_table(database.connection, "vex_raw")
        fill(database, 20_000)
        database.run("CHECKPOINT")
        aoc.configure(database)


def test_a_crash_loses_links_and_their_journal_together(
    server: Server, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """After a crash in the middle, journal and count have exactly the links that are there; the rest follows."""
    prepare(server, "during", aoc)
    with connected(server, "during") as database:
        running = aoc.start("upgrade", "excititor_0006", "--batch-rows", "100", "--pace", "50%", **retrofit)
        wait_until(lambda: database.value("SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"))
        database.run("ALTER SYSTEM SET synchronous_commit = off")  # for the session that records the progress
        database.run("SELECT pg_reload_conf()")
        writer = database.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        os.kill(writer, signal.SIGSTOP)  # until PostgreSQL 15, a commit wakes it as soon as a page is full
        wait_until(lambda: database.value("SELECT count(*) FROM aoc_supersedes_journal") >= 20)
        before = len(database.rows(JOURNALED))
        crash(server)
    assert running.wait() == 3
    server.start()

    with connected(server, "during") as database:
        database.run("ALTER SYSTEM RESET synchronous_commit")
        database.run("SELECT pg_reload_conf()")
        journaled, linked, counted = database.rows(JOURNALED), database.rows(LINKED), database.value(COUNTED)
        again = aoc.json("upgrade", **retrofit)
        wrong = wrong_links(database)
        down = aoc.json("downgrade", "base")

        assert len(journaled) < before, "the crash lost nothing, so it proves nothing"
        assert (journaled, len(journaled)) == (linked, counted or 0)  # the count may be lost as a whole
        assert (again.exit_code, wrong) == (0, 0)
        assert (down.exit_code, database.rows(LINKED)) == (0, [])


def test_what_the_report_says_is_done_survives_a_crash(server: Server, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Once the command has ended, a crash loses none of its links."""
    prepare(server, "after", aoc)
    assert aoc("upgrade", "excititor_0006", **retrofit).exit_code == 0
    crash(server)
    server.start()

    with connected(server, "after") as database:
        assert wrong_links(database) == 0
        assert database.rows(JOURNALED) == database.rows(LINKED)
        assert aoc("verify").exit_code == 0
