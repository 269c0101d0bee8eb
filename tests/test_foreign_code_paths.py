"""Foreign code on the raw table: no command that writes runs it until it is accepted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import fill, wait_until
from tests.planting import EVENTS, PLANTED, STATEMENT, code, plant, planter, ran, state

ALLOWED = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
FOREIGN = "foreign-code:planted.code()"
FIRED = "--accept=move-trigger:t"


@pytest.fixture
def untrusted_role(excititor: Database, aoc: Aoc) -> Iterator[str]:
    """A role that is not trusted; the raw table has a chain of three rows."""
    for n in range(3):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    aoc.environment |= ALLOWED
    with planter(excititor) as name:
        yield name
        excititor.run("DROP EVENT TRIGGER IF EXISTS e")


def upgraded(database: Database, aoc: Aoc, revision: str = "head") -> None:
    """Go to a revision."""
    assert aoc("upgrade", revision).exit_code == 0


def broken(database: Database, aoc: Aoc) -> None:
    """Go to head, where one link is wrong then."""
    upgraded(database, aoc)
    database.run("UPDATE vex_raw SET supersedes = 'nowhere' WHERE id = '0'")


def unjournaled(database: Database, aoc: Aoc) -> None:
    """Do the same, with no journal yet, so that one has to be made."""
    broken(database, aoc)
    database.run("DROP TABLE aoc_supersedes_journal")


def doubled(database: Database, _aoc: Aoc) -> None:
    """Store a document twice."""
    database.run("UPDATE vex_raw SET content_hash = 'same'")


def blank(database: Database, _aoc: Aoc) -> None:
    """Store a row that cannot stay."""
    database.run("UPDATE vex_raw SET tenant = NULL, source = NULL")


def moved(database: Database, aoc: Aoc) -> None:
    """Let `dedupe` move rows away."""
    doubled(database, aoc)
    assert aoc("dedupe", "--apply").exit_code == 0


def nothing(_database: Database, _aoc: Aoc) -> None:
    """Leave the table as it is."""


@dataclass(frozen=True)
class Path:
    """A way of writing: what is done before, and the command."""

    before: Callable[[Database, Aoc], None]
    words: tuple[str, ...]


def to(revision: str) -> Callable[[Database, Aoc], None]:
    """Return what goes to a revision."""
    return lambda database, aoc: upgraded(database, aoc, revision)


PATHS = {
    "the probe of an upgrade": Path(to("excititor_0006"), ("upgrade", "--accept=update-trigger:t")),
    "the backfill": Path(nothing, ("upgrade", "--accept=update-trigger:t")),
    "verify --probe": Path(to("head"), ("verify", "--probe")),
    "chain": Path(broken, ("chain", "--apply")),
    "downgrade": Path(to("head"), ("downgrade", "excititor_0005")),
    "dedupe": Path(doubled, ("dedupe", "--apply", FIRED)),
    "repair": Path(blank, ("repair", "--rule=all", "--apply", FIRED)),
    "restore": Path(moved, ("dedupe", "--restore", "--apply", FIRED)),
}


@pytest.mark.alike
@pytest.mark.parametrize("path", PATHS)
def test_a_command_finds_foreign_code_before_it_writes(
    path: str, untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """A command that writes finds the code before it writes anything; accepted, the code runs."""
    PATHS[path].before(excititor, aoc)
    plant(excititor, untrusted_role, PLANTED)
    before = state(excititor)

    refused = aoc.json(*PATHS[path].words)

    assert (refused.exit_code, refused.slugs("error"), code(refused)) == (1, ["foreign-code"], ["planted.code()"])
    assert refused.report["facts"].get("probed") in (None, False)
    assert not ran(excititor)
    assert state(excititor) == before
    accepted = aoc.json(*PATHS[path].words, "--accept", FOREIGN)
    assert (accepted.exit_code, accepted.slugs("error")) == (0, [])
    assert ran(excititor)


DDL = {
    "upgrade": Path(nothing, ("upgrade",)),
    "downgrade": Path(to("head"), ("downgrade", "-1")),
    "constraints": Path(to("head"), ("constraints", "--remove")),
    "chain": Path(unjournaled, ("chain", "--apply")),
    "dedupe": Path(doubled, ("dedupe", "--apply")),
    "repair": Path(blank, ("repair", "--rule=all", "--apply")),
}


@pytest.mark.alike
@pytest.mark.parametrize("path", DDL)
def test_a_command_finds_event_triggers_before_it_writes(
    path: str, untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """A command that makes or drops anything finds the code of event triggers first."""
    DDL[path].before(excititor, aoc)
    plant(excititor, untrusted_role, EVENTS)
    before = state(excititor)

    refused = aoc.json(*DDL[path].words)

    assert (refused.exit_code, code(refused)) == (1, ["planted.code()"])
    assert (ran(excititor), state(excititor) == before) == (False, True)
    assert aoc(*DDL[path].words, "--accept", FOREIGN).exit_code == 0
    assert ran(excititor)


def test_a_new_trigger_stops_the_next_batch(untrusted_role: str, excititor: Database, aoc: Aoc) -> None:
    """Batches stop, exit 4, where a stranger attaches a trigger after the first; it never runs."""
    fill(excititor, 400)
    to("excititor_0005")(excititor, aoc)
    running = aoc.start("upgrade", "--batch-rows", "10", "--pace", "1%", "--format", "json")
    done = "SELECT count(*) FROM vex_raw WHERE supersedes IS NOT NULL"
    wait_until(lambda: excititor.value(done) > 0, seconds=30)
    plant(excititor, untrusted_role, PLANTED)
    out, err = running.communicate(timeout=60)

    assert (running.returncode, "foreign-code" in out) == (4, True), err
    assert not ran(excititor)
    assert excititor.value("SELECT count(*) FROM aoc_supersedes_journal") > 0
    assert aoc("upgrade", "--accept", FOREIGN, "--accept", "update-trigger:t").exit_code == 0


def test_an_event_trigger_in_a_new_database_is_found(empty_database: Database, aoc: Aoc) -> None:
    """An event trigger is found even where there is no raw table yet."""
    aoc.configure(empty_database)
    with planter(empty_database) as role:
        plant(empty_database, role, EVENTS)

        refused = aoc.json("upgrade")

        assert (refused.exit_code, code(refused), ran(empty_database)) == (1, ["planted.code()"], False)
        assert aoc("upgrade", "--accept", FOREIGN).exit_code == 0
        empty_database.run("DROP EVENT TRIGGER e")


def test_a_statement_trigger_is_found_where_no_row_needs_a_link(
    untrusted_role: str, excititor: Database, aoc: Aoc
) -> None:
    """The backfill's UPDATE fires statement triggers even where no row needs a link: they are found too."""
    excititor.run("DELETE FROM vex_raw WHERE id > '0'")
    plant(excititor, untrusted_role, STATEMENT)

    refused = aoc.json("upgrade")

    assert (refused.exit_code, code(refused), ran(excititor)) == (1, ["planted.code()"], False)
    assert aoc("upgrade", "--accept", FOREIGN).exit_code == 0
    assert ran(excititor)
