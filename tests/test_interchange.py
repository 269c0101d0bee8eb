"""A copy of a database holds the contract as its original does, however it was copied."""

from collections.abc import Callable

import pytest

from tests.conftest import Aoc, Database
from tests.faults.outcome import differences, outcome
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
