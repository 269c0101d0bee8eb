"""`control` reaches whatever runs: waits between tries, other commands than upgrade, and psql instead of it."""

import psycopg
import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.helpers import before_backfill, fill, psql, wrong_links
from tests.rehearsals import words
from tests.steering import asked, controls, ended, held_up, until_waiting
from tests.test_docs import section

PAGE = (ROOT / "docs" / "window.md").read_text(encoding="utf-8")
STATEMENT = section(PAGE, "### Slow down, pause or stop a run").partition("<<'END'\n")[2].partition("\nEND\n")[0]


@pytest.fixture
def waiting(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit)


def test_psql_alone(waiting: Database, aoc: Aoc) -> None:
    """The statement that the page prints for psql pauses a run, and its opposite resumes it; both are recorded."""
    with held_up(waiting, aoc, "upgrade", "excititor_0006") as process:
        pause = psql(waiting, STATEMENT, "-v", "ON_ERROR_STOP=1")
        until_waiting(waiting, f"because {waiting.connection.info.user} (at ")
    resume = psql(waiting, STATEMENT.replace('"pause": true', '"pause": false'), "-v", "ON_ERROR_STOP=1")
    run = ended(process)

    assert (pause.exit_code, resume.exit_code, run.exit_code) == (0, 0, 0), pause.err + run.err
    assert [change.split(", ")[-1] for change in controls(waiting)] == ["pause", "resume"]
    assert run.report["facts"]["controls"][0]["by"] == waiting.connection.info.user
    assert asked(waiting) is None


def test_a_wait_between_tries_is_paused(excititor: Database, aoc: Aoc) -> None:
    """A run that tries to get a strong lock pauses between two tries, and asks for no lock until it is resumed."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url) as reader:
        reader.execute("SELECT FROM vex_raw LIMIT 1")
        process = aoc.start("constraints", "excititor", "--remove", "--format", "json")
        assert process.stderr is not None
        line = "begun"
        while line and "gave up" not in line:
            line = process.stderr.readline()
        pause = aoc("control", "excititor", "--pause")
        until_waiting(excititor, "asked for it")
    locks = excititor.value("SELECT count(*) FROM pg_locks WHERE relation = 'vex_raw'::regclass")
    resume = aoc("control", "excititor", "--resume")
    run = ended(process)

    assert (pause.exit_code, resume.exit_code, run.exit_code) == (0, 0, 0), run.err
    assert (locks, controls(excititor)) == (0, ["pause", "resume"])
    assert any("asked" in step.get("pauses", {}) for step in run.report["steps"])


def test_links_that_are_set_again_are_paused(waiting: Database, aoc: Aoc) -> None:
    """`chain --apply` pauses and resumes as well."""
    assert aoc("upgrade", "excititor_0006").exit_code == 0
    waiting.run("UPDATE vex_raw SET supersedes = 'r1' WHERE id <> 'r1'")
    with held_up(waiting, aoc, "chain", "excititor", "--apply") as process:
        pause = aoc("control", "excititor", "--pause")
        until_waiting(waiting, "asked for it")
    resume = aoc("control", "excititor", "--resume")
    run = ended(process)

    assert (pause.exit_code, resume.exit_code, run.exit_code) == (0, 0, 0), run.err
    assert (wrong_links(waiting), controls(waiting), asked(waiting)) == (0, ["pause", "resume"], None)


def test_a_rehearsal_goes_all_the_way(excititor: Database, aoc: Aoc) -> None:
    """A rehearsal can be steered through the copy's URL, but does not stop half way, whatever the row says."""
    fill(excititor, 400)
    aoc.environment |= {"AOC_COPY_URL": excititor.url, "AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
    with held_up(excititor, aoc, *words(excititor)) as process:
        here = {"EXCITITOR_DATABASE_URL": excititor.url}
        refused = aoc("control", "excititor", "--stop-after", "excititor_0006", **here)
        stop = """UPDATE aoc_migration_state SET value = value || '{"stop_after": "excititor_0006"}'"""
        slower = aoc("control", "excititor", "--batch-time", "40ms", **here)
        excititor.run(f"{stop} WHERE name = 'control'")
    run = ended(process)

    assert (refused.exit_code, slower.exit_code, run.exit_code) == (2, 0, 0), run.err + run.out
    assert "A rehearsal goes all the way" in refused.err
    assert run.report["facts"]["way_back"] == "exact"
    assert "does not stop after excititor_0006" in run.err
