"""The contract on a subscriber of logical replication, and on a server that pg_upgrade made."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aoc_migrate.sandbox.account import account_of
from aoc_migrate.sandbox.databases import create_raw_table
from aoc_migrate.sandbox.server import Server, find_binaries
from aoc_migrate.sandbox.state import load_state
from tests.adversary import GOOD
from tests.conftest import Aoc, Database
from tests.faults.outcome import differences
from tests.helpers import wait_until
from tests.interchange import goes_on, is_clean, live, outcome_without_owners
from tests.postgres_versions import binaries_of, major
from tests.servers import guarded_server, running_server
from tests.test_predicates import insert
from tests.test_round_trips import holds


def make(server: Server, name: str) -> Database:
    """Make a database with an empty raw table."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made: psycopg.Connection[Any] = psycopg.connect(server.url(name), autocommit=True)
    create_raw_table(made, "vex_raw")
    return Database(made, "vex_raw", "excititor")


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of our own, whose log we may read."""
    with running_server() as started:
        yield started


def log(server: Server) -> str:
    """Return what the server has logged."""
    state = load_state(server.folder)
    assert state is not None
    return state.log.read_text()


def test_a_subscriber_obeys_the_rules(own_server: Server, aoc: Aoc) -> None:
    """The apply worker stores good rows of a publisher without the contract, and stops at a bad one by a rule."""
    with (
        closing(make(own_server, "publisher").connection) as connection,
        closing(make(own_server, "here").connection) as c,
    ):
        publisher, here = Database(connection, "vex_raw", "excititor"), Database(c, "vex_raw", "excititor")
        aoc.configure(here)
        assert aoc("upgrade").exit_code == 0
        insert(publisher, GOOD | {"id": "1"})
        publisher.run("CREATE PUBLICATION raw FOR TABLE vex_raw")
        publisher.run("SELECT pg_create_logical_replication_slot('raw', 'pgoutput')")
        source = make_conninfo(publisher.url).replace("'", "''")
        here.run(
            f"CREATE SUBSCRIPTION raw CONNECTION '{source}' PUBLICATION raw "
            "WITH (create_slot = false, slot_name = raw, disable_on_error = true)"
        )
        try:
            wait_until(lambda: here.value("SELECT count(*) FROM vex_raw") == 1)
            insert(publisher, GOOD | {"id": "2", "content_hash": "2", "source": '{"x": {"severity": 1}}'})
            publisher.run("UPDATE vex_raw SET linkset = '{\"a\": 1}' WHERE id = '1'")
            wait_until(lambda: here.value("SELECT count(*) FROM vex_raw WHERE id = '2' OR linkset <> '{}'") == 2)
            assert here.value("SELECT subenabled FROM pg_subscription")

            known = len(log(own_server))
            insert(publisher, GOOD | {"id": "3", "content_hash": "3", "source": '{"severity": 1}'})
            wait_until(lambda: here.value("SELECT NOT subenabled FROM pg_subscription"))

            errors = [line for line in log(own_server)[known:].splitlines() if "ERROR:" in line]
            assert len(errors) == 1
            assert 'violates check constraint "vex_raw_objects_v1"' in errors[0]
            assert here.rows("SELECT id FROM vex_raw ORDER BY id") == [("1",), ("2",)]
        finally:
            here.run("ALTER SUBSCRIPTION raw DISABLE; ALTER SUBSCRIPTION raw SET (slot_name = NONE)")
            here.run("DROP SUBSCRIPTION raw")
            wait_until(lambda: not publisher.value("SELECT active FROM pg_replication_slots"))
            publisher.run("SELECT pg_drop_replication_slot('raw')")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name, because sockets go there."""
    with tempfile.TemporaryDirectory(prefix="aoc", dir="/tmp") as made:
        yield Path(made)


def upgrade_server(old: Server, new: Server, work: Path) -> None:
    """Stop both servers and take everything of the old one over to the new one, as its operator would."""
    was, becomes = load_state(old.folder), load_state(new.folder)
    assert was is not None
    assert becomes is not None
    old.stop()
    new.stop()
    account = account_of(was.data)
    # PostgreSQL 18 makes a cluster with checksums, 15 one without; both must be alike.
    done = account.run(old.binaries / "pg_checksums", "--enable", "-D", was.data)
    assert done.returncode == 0, done.stdout
    work.mkdir()
    account.own(work)
    done = account.run(
        *("/bin/sh", "-c", 'cd "$0" && exec "$@"', work, new.binaries / "pg_upgrade", "-U", "sandbox", "-s", work),
        *("-b", old.binaries, "-B", new.binaries, "-d", was.data, "-D", becomes.data),
    )
    assert done.returncode == 0, done.stdout
    replace(becomes, password=was.password).save(new.folder)  # passwords came along
    new.start()


def strange_options(old: Server, new: Server) -> str:
    """Return the options that the old server gives each new column, if the new one does not know them.

    PostgreSQL 15.20 gives each a number of its own, which pg_upgrade takes along and 18.6 refuses.
    """
    with (
        closing(psycopg.connect(old.url("postgres"))) as older,
        closing(psycopg.connect(new.url("postgres"))) as newer,
    ):
        found = older.execute(
            "CREATE TEMPORARY TABLE plain (a integer); SELECT attoptions[1] FROM pg_attribute "
            "WHERE attrelid = 'plain'::regclass AND attnum = 1"
        )
        assert found.nextset()
        (option,) = found.fetchone() or (None,)
        newer.execute("CREATE TEMPORARY TABLE plain (a integer)")
        try:
            newer.execute(f"ALTER TABLE plain ALTER COLUMN a SET ({option})".encode() if option else b"SELECT")
        except psycopg.Error:
            return str(option)
    return ""


def test_the_contract_survives_pg_upgrade(short_folder: Path, aoc: Aoc) -> None:
    """After pg_upgrade from PostgreSQL 15 to 18 verify is clean, the rules hold, and it goes down and up."""
    older, newer = binaries_of(15), binaries_of(18)
    if older is None or newer is None or not (newer / "pg_upgrade").is_file() or find_binaries() != newer:
        pytest.skip("pg_upgrade needs PostgreSQL 15 (scripts/postgres 15), and 18 as the one in use")
    old, new = guarded_server(short_folder / "old", older), guarded_server(short_folder / "new", newer)
    try:
        old.start()
        new.start()
        if strange := strange_options(old, new):
            pytest.skip(f"pg_upgrade fails for any table here: {new.binaries} does not know {strange}")
        with closing(make(old, "excititor").connection) as connection:
            before = Database(connection, "vex_raw", "excititor")
            aoc.configure(before)
            live(before, aoc, "excititor_0007")
            was = outcome_without_owners(connection)

        upgrade_server(old, new, short_folder / "work")

        with closing(psycopg.connect(new.url("excititor"), autocommit=True)) as moved:
            assert major(moved) == 18
            became = outcome_without_owners(moved)
            # PostgreSQL 18 lists each NOT NULL as a constraint, too.
            assert [line for line in differences(was, became) if "'NOT NULL " not in line] == []
            after = Database(moved, "vex_raw", "excititor")
            is_clean(after, aoc, "excititor_0007")
            holds(after, aoc)
            goes_on(after, aoc)
    finally:
        old.delete()
        new.delete()
