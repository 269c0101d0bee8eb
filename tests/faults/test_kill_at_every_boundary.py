"""After kill -9 at any statement boundary, the same command ends where an undisturbed run ends.

Here every fifth boundary is tried. `scripts/soak --faults` tries them all with every fault, for all that can be
upgraded and downgraded.
"""

from dataclasses import replace

import pytest

from aoc_migrate.revisions.graph import history
from tests.faults.boundaries import Boundary, boundaries
from tests.faults.lab import Lab, kill
from tests.faults.scenarios import Scenario
from tests.sampling import sample

UPGRADE = Scenario("excititor", (), "upgrade head")
DOWNGRADE = Scenario("excititor", ("upgrade head",), "downgrade base")
SHORT = [
    Scenario("concelier", ("upgrade concelier_0007",), "upgrade concelier_0008"),
    Scenario("concelier", ("upgrade concelier_0008",), "downgrade -1"),
    Scenario("excititor", ("upgrade excititor_0006",), "downgrade -1"),
    Scenario("excititor", ("upgrade excititor_0003",), "downgrade -1"),
    Scenario("excititor", ("upgrade excititor_0003",), "upgrade excititor_0004", rows=50, parted=True),
    Scenario("excititor", ("upgrade excititor_0004",), "downgrade -1", rows=50, parted=True),
]


def walk(lab: Lab, scenario: Scenario) -> list[str]:
    """Kill the command at some of its boundaries; return what was wrong afterwards, and where.

    A transaction that dies before its COMMIT leaves nothing, so COMMIT represents all that is inside.
    """
    chosen = sample([b for b in lab.undisturbed(scenario).boundaries if not b.inside], str(scenario), 8)
    assert chosen, "no boundary was found"
    return [problem for boundary in chosen for problem in lab.broken(scenario, boundary, kill)]


@pytest.mark.alike
@pytest.mark.parametrize("scenario", SHORT, ids=str)
def test_a_killed_single_step_goes_no_further(lab: Lab, scenario: Scenario) -> None:
    """Killed anywhere in the view swap or a single step down, the same command goes on and goes no further."""
    assert not walk(lab, scenario)


@pytest.mark.nightly
def test_a_killed_backfill_beyond_the_cache_ends_as_if_undisturbed(lab: Lab) -> None:
    """Killed anywhere while it stages links or writes them by page, the same command ends as in one go."""
    beyond = replace(lab, known={}, options="-c effective_cache_size=8kB")
    scenario = Scenario("excititor", ("upgrade excititor_0005",), "upgrade excititor_0006", parted=True)

    assert any("aoc_staged_links" in boundary.sql for boundary in beyond.undisturbed(scenario).boundaries)
    assert not walk(beyond, scenario)


@pytest.mark.alike
@pytest.mark.parametrize("scenario", [UPGRADE, DOWNGRADE], ids=str)
def test_a_killed_upgrade_or_downgrade_ends_as_if_undisturbed(lab: Lab, scenario: Scenario) -> None:
    """Killed anywhere in the whole history, the same command ends as if it had never been disturbed."""
    assert not walk(lab, scenario)


def test_every_revision_has_a_boundary(lab: Lab) -> None:
    """Among the boundaries is the version row of every revision, so that a new one cannot be missed."""
    written = " ".join(b.sql for b in lab.undisturbed(UPGRADE).boundaries if "aoc_alembic_version" in b.sql)
    assert [r.id for r in history("excititor") if f"'{r.id}'" not in written] == []


def test_only_requests_that_change_something_are_boundaries() -> None:
    """Reads, settings and what is rolled back are not boundaries; every other request is, known or not."""
    requests = [
        "SET x = 1",
        "SELECT 'an UPDATE' FROM t",
        "SELECT f(1)",
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "ROLLBACK",
        "BEGIN READ ONLY",
        "LOCK TABLE t IN ACCESS SHARE MODE",
        "SELECT 1",
        "COMMIT",
        "BEGIN",
        "SELECT 1 FOR UPDATE",
        "SAVEPOINT a",
        "COMMIT",
        "WITH w AS (DELETE FROM t RETURNING 1) SELECT 1",
        "REINDEX TABLE t",
        "REINDEX TABLE t",
    ]

    assert boundaries(requests, {"f"}) == [
        Boundary("SELECT f(1)", 1),
        Boundary("SELECT 1 FOR UPDATE", 1, inside=True),
        Boundary("COMMIT", 2),
        Boundary("WITH w AS (DELETE FROM t RETURNING 1) SELECT 1", 1),
        Boundary("REINDEX TABLE t", 1),
        Boundary("REINDEX TABLE t", 2),
    ]
