"""A copy of a database holds the contract as its original does, however it was copied."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.faults.outcome import differences, outcome
from tests.helpers import wait_until
from tests.interchange import empty_copy, goes_on, is_clean, live, outcome_without_owners, program

Way = Callable[[Database, Database], None]


def plain(source: Database, copy: Database) -> None:
    """A script, restored with psql."""
    script = program(["pg_dump", source.url])
    program(["psql", copy.url, "-Xq", "-v", "ON_ERROR_STOP=1"], script)


def custom(source: Database, copy: Database, *options: str) -> None:
    """An archive, restored with pg_restore."""
    archive = program(["pg_dump", "-Fc", source.url])
    program(["pg_restore", "--exit-on-error", "-d", copy.url, *options], archive)


def ownerless(source: Database, copy: Database) -> None:
    """An archive, restored without owners and rights."""
    custom(source, copy, "--no-owner", "-x")


def in_parts(source: Database, copy: Database) -> None:
    """The schema first, all constraints included, then the rows."""
    for part in ("--schema-only", "--data-only"):
        script = program(["pg_dump", part, "--disable-triggers", source.url])
        program(["psql", copy.url, "-Xq", "-v", "ON_ERROR_STOP=1"], script)


@pytest.mark.alike
@pytest.mark.parametrize(
    ("way", "revision"),
    [
        (plain, "concelier_0002"),
        (ownerless, "concelier_0002"),
        (custom, "concelier_0008"),
        (in_parts, "concelier_0008"),
        (ownerless, "concelier_0008"),
    ],
)
def test_a_restored_dump_is_clean(way: Way, revision: str, concelier: Database, aoc: Aoc) -> None:
    """A restore changes nothing but owners and rights, if asked to: verify is clean, and it goes down and up."""
    live(concelier, aoc, revision)
    with empty_copy(concelier) as copy:
        way(concelier, copy)

        look = outcome_without_owners if way is ownerless else outcome
        assert differences(look(concelier.connection), look(copy.connection)) == []
        is_clean(copy, aoc, revision)
        goes_on(copy, aoc)


def data_only(source: Database, copy: Database) -> None:
    """The rows of the raw table alone."""
    program(
        ["psql", copy.url, "-Xq", "-v", "ON_ERROR_STOP=1"],
        program(["pg_dump", "--data-only", "-t", source.table, source.url]),
    )


def replicated(source: Database, copy: Database) -> None:
    """The rows that a subscription copies, and one that it applies; then the copy goes its own way."""
    source.run(f"CREATE PUBLICATION raw FOR TABLE {source.table}")
    source.run("SELECT pg_create_logical_replication_slot('raw', 'pgoutput')")
    conninfo = source.url.replace("'", "''")
    copy.run(
        f"CREATE SUBSCRIPTION raw CONNECTION '{conninfo}' PUBLICATION raw "
        "WITH (create_slot = false, slot_name = raw, disable_on_error = true)"
    )
    try:
        source.add("later", retrieved_at="2026-01-01T00:00:00Z", supersedes="once")
        wait_until(lambda: bool(copy.value(f"SELECT count(*) FROM {copy.table} WHERE id = 'later'")), 60)
    finally:
        copy.run("ALTER SUBSCRIPTION raw DISABLE; ALTER SUBSCRIPTION raw SET (slot_name = NONE)")
        copy.run("DROP SUBSCRIPTION raw")
        wait_until(lambda: not source.value("SELECT bool_or(active) FROM pg_replication_slots"))
        source.run("SELECT pg_drop_replication_slot('raw')")
        source.run("DROP PUBLICATION raw")


def rows(database: Database) -> list[Any]:
    """Return the rows of the raw table, whatever the order of its columns is."""
    return database.rows(f"SELECT to_jsonb(t) FROM {database.table} AS t ORDER BY id")


@pytest.mark.alike
@pytest.mark.parametrize("way", [data_only, replicated])
def test_rows_copied_into_an_upgraded_database_are_clean(way: Way, excititor: Database, aoc: Aoc) -> None:
    """Rows that come with their links into a database at head need nothing more; it goes down and up."""
    live(excititor, aoc, "excititor_0007")
    with empty_copy(excititor) as copy:
        aoc.configure(copy)
        assert aoc("upgrade", "excititor").exit_code == 0

        way(excititor, copy)

        assert rows(copy) == rows(excititor)
        is_clean(copy, aoc, "excititor_0007")
        assert aoc("downgrade", "excititor", "base").exit_code == 0
        assert aoc("upgrade", "excititor", "--release-hold").exit_code == 0
        is_clean(copy, aoc, "excititor_0007")
        assert rows(copy) == rows(excititor)
