"""PostgreSQL gives up a build's lock before the commit that makes its index valid."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_raw_table
from tests.builds import held, oid, valid
from tests.conftest import Aoc, Database
from tests.helpers import psql, wait_until
from tests.servers import running_server
from tests.test_builds_of_others import TO_INDEX, until_it_waits

LOCAL = "-c synchronous_commit=local"
SYNC = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def lonely_excititor(aoc: Aoc) -> Iterator[Database]:
    """Excititor's database before the first index, on a server of its own."""
    with running_server() as server:
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            create_raw_table(connection, "vex_raw")
            aoc.environment |= {"EXCITITOR_DATABASE_URL": url, "PGOPTIONS": LOCAL}
            database = Database(connection, "vex_raw", "excititor")
            database.run("SET synchronous_commit = local")
            assert aoc(*TO_INDEX[:1], "excititor_0003").exit_code == 0
            yield database


@contextmanager
def commits_waiting(database: Database) -> Iterator[None]:
    """Let every commit wait for a standby that is not there, but for sessions that only want it to be local."""
    done = threading.Event()

    def commit() -> None:
        with psycopg.connect(database.url, autocommit=True) as other:
            while not done.is_set():
                other.execute("SELECT pg_current_xact_id()")

    database.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    database.run("SELECT pg_reload_conf()")
    thread = threading.Thread(target=commit)
    thread.start()
    try:
        wait_until(lambda: database.value(SYNC) == 1)
        yield
    finally:
        done.set()
        database.run("ALTER SYSTEM RESET synchronous_standby_names")
        database.run("SELECT pg_reload_conf()")
        thread.join()


@pytest.mark.parametrize("way", ["command", "script"])
def test_a_build_that_has_yet_to_commit_is_waited_for(way: str, lonely_excititor: Database, aoc: Aoc) -> None:
    """While a finished build waits for its commit, its index is not taken for a leftover and dropped."""
    script = aoc("plan", "excititor", "excititor_0003:excititor_0004", "--sql", "--deadline", "2s").out
    with held(lonely_excititor) as (pid, let_go):
        theirs = oid(lonely_excititor)
        with commits_waiting(lonely_excititor):
            builder = threading.Thread(target=let_go)
            builder.start()
            wait_until(lambda: lonely_excititor.value(SYNC) == 2)
            if way == "command":
                process = aoc.start(*TO_INDEX)
                until_it_waits(process, pid)
            else:
                ran = psql(lonely_excititor, script, PGOPTIONS=LOCAL)
                assert (ran.exit_code, f"pid {pid}" in ran.err) == (3, True), ran.err
        builder.join()

    if way == "command":
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert (oid(lonely_excititor), valid(lonely_excititor)) == (theirs, True)
