"""What a rehearsal does with a copy at head, under a hold, in a rollback, or without its constraints."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill
from tests.rehearsals import rehearse


@pytest.fixture
def copy(concelier: Database) -> Database:
    """A copy of concelier before any revision."""
    fill(concelier, 20)
    return concelier


def test_at_head_nothing_is_pending(copy: Database, aoc: Aoc) -> None:
    """A copy at head is left as it is, with exit code 0."""
    assert rehearse(aoc, copy).exit_code == 0
    before = fingerprint(copy.connection, without="^$"), copy.rows("SELECT * FROM aoc_migration_log")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (0, ["nothing-pending"], False)
    assert (fingerprint(copy.connection, without="^$"), copy.rows("SELECT * FROM aoc_migration_log")) == before


def test_a_hold_is_released_and_reported(copy: Database, aoc: Aoc) -> None:
    """On a copy under a hold, the rehearsal runs, says so, and the upgrade that it names releases the hold too."""
    assert rehearse(aoc, copy, "--no-second-upgrade").exit_code == 0

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, "copy-held" in ran.slugs("info"), ran.report["verdict"]) == (0, True, "PASSED")
    assert ran.report["next"]["choices"][0].endswith("upgrade concelier --release-hold")


def test_an_unfinished_rollback_is_refused(copy: Database, aoc: Aoc) -> None:
    """A copy with an unfinished rollback has no state to come back to: it is left as it is."""
    assert rehearse(aoc, copy, "--no-second-upgrade").exit_code == 0
    copy.run("UPDATE aoc_migration_hold SET finished = false")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["copy-half-way"], False)


@pytest.mark.alike
@pytest.mark.parametrize("left", ["hold", "constraints", "both"])
def test_a_copy_at_head_that_is_not_whole_is_refused(left: str, copy: Database, aoc: Aoc) -> None:
    """At head under a hold, or without its constraints, the copy is refused with the upgrade to try on it."""
    assert rehearse(aoc, copy).exit_code == 0
    aoc.configure(copy)
    assert aoc("constraints", "concelier", "--remove").exit_code == 0
    if left == "hold":
        assert aoc("upgrade", "concelier", "--release-hold").exit_code == 0
        copy.run(
            "INSERT INTO aoc_migration_hold VALUES (true, 'constraints --remove', NULL, 'x', now(), true, true)"
        )
    elif left == "constraints":
        copy.run("DELETE FROM aoc_migration_hold")
    if left != "hold":
        copy.add("bad", tenant=None)
    before = fingerprint(copy.connection, without="^$")
    aoc.environment.clear()

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (1, ["head-incomplete"], False)
    found = ran.finding("head-incomplete")
    assert ("under a hold, left by `constraints --remove`" in found["problem"]) == (left != "constraints")
    assert ("missing or wrong: advisory_raw.advisory_raw_" in found["problem"]) == (left != "hold")
    on_the_copy = 'CONCELIER_DATABASE_URL="$AOC_COPY_URL" aoc-migrate upgrade concelier'
    assert found["help"].endswith(f"{on_the_copy}{' --release-hold' * (left != 'constraints')}")
    assert "set CONCELIER_DATABASE_URL to the copy's URL" in ran.report["next"]["note"]
    assert fingerprint(copy.connection, without="^$") == before


def test_an_unfinished_removal_at_head_is_refused(copy: Database, aoc: Aoc) -> None:
    """A `constraints --remove` that has not ended is refused like any unfinished rollback."""
    assert rehearse(aoc, copy).exit_code == 0
    aoc.configure(copy)
    assert aoc("constraints", "concelier", "--remove").exit_code == 0
    copy.run("UPDATE aoc_migration_hold SET finished = false")
    aoc.environment.clear()

    assert rehearse(aoc, copy).slugs() == ["copy-half-way"]
