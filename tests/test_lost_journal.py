"""A journal from which somebody has dropped links: plan and downgrade say how many will not come back."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database, Ran
from tests.copies import made_once
from tests.helpers import psql
from tests.test_lifecycle import alembic

SLUG = "links-not-restored"
DOWN = ("downgrade", "excititor", "excititor_0005")
PLAN = ("plan", "excititor", "excititor_0005")


@pytest.fixture
def backfilled(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> Database:
    """Excititor's database at head: the backfill has linked 40 rows in four batches, `chain --apply` 3 more."""
    aoc.configure(excititor)
    aoc.environment |= retrofit

    def make() -> None:
        for n in range(41):
            excititor.add(f"{n:02}", retrieved_at=f"2025-01-01T00:{n:02}:00Z")
        assert aoc("upgrade", "--batch-rows", "10").exit_code == 0
        for id_ in ("05", "06", "07"):
            excititor.run("UPDATE vex_raw SET supersedes = 'wrong' WHERE id = %s", [id_])
        for _ in range(2):  # the second has nothing to do
            assert aoc("chain", "--apply").exit_code == 0

    made_once(request, excititor, make)
    return excititor


LOSSES = {
    "dropped": ("DROP TABLE aoc_supersedes_journal", 43),
    "emptied": ("TRUNCATE aoc_supersedes_journal", 43),
    "lacking a batch": ("DELETE FROM aoc_supersedes_journal WHERE batch = 2", 10),
    "complete": ("SELECT 1", 0),
}


def lost(ran: Ran) -> list[Any]:
    """Return severity, count and rows of the finding, as often as it is there."""
    found = [f for f in ran.report["findings"] if f["slug"] == SLUG]
    return [(f["severity"], f["count"], f["rows"]) for f in found]


@pytest.mark.parametrize("loss", LOSSES)
def test_plan_and_downgrade_count_what_stays(loss: str, backfilled: Database, aoc: Aoc) -> None:
    """plan and downgrade warn of the links that are not in the journal, with their number, and only of these."""
    statement, count = LOSSES[loss]
    backfilled.run(statement)
    expected = [("warning", count, count)] if count else []

    planned, ran = aoc.json(*PLAN), aoc.json(*DOWN)

    assert (lost(planned), lost(ran)) == (expected, expected)
    assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0005")
    stayed = backfilled.value(
        "SELECT count(*) FROM vex_raw WHERE supersedes IS NOT NULL AND supersedes <> 'wrong'"
    )
    assert stayed == min(count, 40)


def test_a_second_downgrade_lacks_nothing(backfilled: Database, aoc: Aoc) -> None:
    """After a downgrade, nothing of it is counted any more: the next one lacks nothing."""
    assert aoc(*DOWN).exit_code == 0
    backfilled.run("UPDATE vex_raw SET supersedes = NULL")
    assert aoc("upgrade", "--release-hold").exit_code == 0

    assert lost(aoc.json(*DOWN)) == []


def test_an_interrupted_downgrade_counts_the_rest(backfilled: Database, aoc: Aoc) -> None:
    """Links that an interrupted downgrade has set back do not count as lost when it goes on."""
    backfilled.run("DELETE FROM aoc_supersedes_journal WHERE batch = 2")
    backfilled.run(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS "
        "$$BEGIN IF NEW.id = '03' THEN RAISE EXCEPTION 'stop'; END IF; RETURN NEW; END$$; "
        "CREATE TRIGGER stop BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION stop()"
    )
    stopped = aoc.json(*DOWN, "--batch-rows", "10")
    backfilled.run("DROP TRIGGER stop ON vex_raw")

    ran = aoc.json(*DOWN)

    assert stopped.exit_code == 4, stopped.out
    assert backfilled.value("SELECT count(*) FROM vex_raw WHERE supersedes IS NOT NULL") == 10 + 3
    assert (lost(stopped), lost(ran), ran.exit_code) == ([("warning", 10, 10)], [("warning", 10, 10)], 0)


def test_scripts_and_alembic_count_too(backfilled: Database, aoc: Aoc) -> None:
    """The psql script warns before it begins, stock Alembic at its end, with the same number."""
    backfilled.run("DROP TABLE aoc_supersedes_journal; CREATE TABLE kept AS TABLE aoc_migration_state")
    script = aoc("plan", "excititor", "head:excititor_0005", "--sql").out

    ran = psql(backfilled, script)
    backfilled.run("INSERT INTO aoc_migration_state TABLE kept ON CONFLICT DO NOTHING")
    backfilled.run("UPDATE aoc_alembic_version SET version_num = 'excititor_0006'")
    stock = alembic(backfilled, aoc, "downgrade", "excititor_0005")

    assert ran.exit_code == 0, ran.err
    assert "43" in next(line for line in ran.err.splitlines() if SLUG in line)
    assert "wrote, 43 are not in aoc_supersedes_journal" in stock.err
