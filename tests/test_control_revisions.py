"""`control` on the way through revisions: stop at one of them, and pause before each strong lock."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import before_backfill, fill, wait_until, wrong_links
from tests.steering import asked, controls, ended, held_up, until_waiting


@pytest.fixture
def waiting(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit, request)


def at(database: Database) -> str:
    """Return the revision of the database."""
    return str(database.value("SELECT version_num FROM aoc_alembic_version"))


def test_an_upgrade_stops_as_asked(waiting: Database, aoc: Aoc) -> None:
    """An upgrade ends at the revision that was asked for, verified, with exit 0; the same command goes on."""
    with held_up(waiting, aoc, "upgrade", "excititor") as process:
        stop = aoc.json("control", "excititor", "--stop-after", "excititor_0006")
    run = ended(process)
    ledger = waiting.rows("SELECT goal, revision, outcome FROM aoc_migration_log ORDER BY run DESC LIMIT 1")

    assert (stop.exit_code, run.exit_code) == (0, 0), run.err
    assert stop.report["facts"]["asked"] == {"stop after": "excititor_0006"}
    assert (at(waiting), wrong_links(waiting), run.report["revision"]) == ("excititor_0006", 0, "excititor_0006")
    assert run.finding("stopped-as-asked")["severity"] == "warning"
    assert waiting.connection.info.user in run.finding("stopped-as-asked")["problem"]
    assert ledger == [("excititor_0007", "excititor_0006", "done")]
    assert controls(waiting) == ["stop after excititor_0006"]
    again = run.report["next"]["command"].removeprefix("AOC_ALLOW_SUPERSEDES_RETROFIT=true ")
    assert again.startswith("aoc-migrate upgrade excititor")
    assert (aoc("upgrade").exit_code, at(waiting)) == (0, "excititor_0007")


def test_a_downgrade_stops_as_asked(waiting: Database, aoc: Aoc) -> None:
    """A downgrade ends at the revision that was asked for, under a hold there, with the command that goes on."""
    assert aoc("upgrade").exit_code == 0
    with held_up(waiting, aoc, "downgrade", "excititor", "base") as process:
        stop = aoc("control", "excititor", "--stop-after", "excititor_0004")
    run = ended(process)
    hold = waiting.rows("SELECT command, revision, finished FROM aoc_migration_hold")

    assert (stop.exit_code, run.exit_code, at(waiting)) == (0, 0, "excititor_0004"), run.err
    assert set(run.slugs()) >= {"stopped-as-asked", "held"}
    assert hold == [("downgrade excititor_0004", "excititor_0004", True)]
    assert run.report["next"]["command"] == "aoc-migrate downgrade excititor base"
    assert (aoc("downgrade", "excititor", "base").exit_code, asked(waiting)) == (0, None)


@pytest.mark.alike
@pytest.mark.parametrize(
    ("revision", "answer"),
    [
        ("excititor_0099", "is neither a target nor a revision"),
        ("excititor_0005", "it does not come to excititor_0005"),
        ("base", "it does not come to base"),
        ("head", "it does not come to excititor_0007"),
        ("-9", "leads to no revision"),
    ],
)
def test_a_revision_that_the_run_does_not_come_to(revision: str, answer: str, waiting: Database, aoc: Aoc) -> None:
    """An unknown revision, one that is passed and one beyond the goal exit 2, and the run goes on to its goal."""
    with held_up(waiting, aoc, "upgrade", "excititor_0006") as process:
        refused = aoc("control", "excititor", "--stop-after", revision)
        row = asked(waiting)
    run = ended(process)

    assert (refused.exit_code, row, run.exit_code, at(waiting)) == (2, None, 0, "excititor_0006")
    assert answer in refused.err


def test_a_run_without_revisions_does_not_stop(excititor: Database, aoc: Aoc) -> None:
    """Before the first upgrade, a dedupe is paused and resumed; --stop-after is refused for it."""
    fill(excititor, 250)
    excititor.run("UPDATE vex_raw SET upstream_id = 'CVE-1', content_hash = 'sha256:1'")
    aoc.configure(excititor)
    with held_up(excititor, aoc, "dedupe", "excititor", "--apply") as process:
        refused = aoc("control", "excititor", "--stop-after", "head")
        paused = aoc.json("control", "excititor", "--pause")
        until_waiting(excititor, "asked for it")
    resumed = aoc("control", "excititor", "--resume", "--pace", "99%")
    run = ended(process)

    assert (refused.exit_code, paused.exit_code, resumed.exit_code, run.exit_code) == (2, 0, 0, 0), run.err
    assert "does not stop half way" in refused.err
    assert run.report["facts"]["moved"] == 249
    assert controls(excititor) == ["pause", "resume, pace 99%"]
    assert asked(excititor) is None


def test_strong_locks_one_at_a_time(concelier: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Before each strong lock the run pauses; --continue lets exactly one through, --resume all the others."""
    fill(concelier, 400)
    aoc.configure(concelier)
    aoc.environment |= retrofit
    guarded = "SELECT count(*) FROM pg_constraint WHERE conname = 'advisory_raw_content_v1'"
    assert aoc("upgrade", "concelier_0005").exit_code == 0
    with held_up(concelier, aoc, "upgrade", "concelier") as process:
        strong = aoc.json("control", "concelier", "--pause-before-strong")
    until_waiting(concelier, "pausing before this strong lock")
    before, status = concelier.value(guarded), aoc.json("status").report
    one = aoc("control", "concelier", "--continue")
    wait_until(lambda: at(concelier) == "concelier_0007")
    until_waiting(concelier, "pausing before this strong lock")
    after = concelier.value(guarded)
    held = concelier.value("SELECT relkind::text FROM pg_class WHERE relname = 'advisory'")
    rest = aoc("control", "concelier", "--resume")
    run = ended(process)

    assert (strong.exit_code, one.exit_code, rest.exit_code, run.exit_code) == (0, 0, 0, 0), run.err
    assert (before, after, held, at(concelier)) == (0, 1, "r", "concelier_0008")
    assert status["next"]["choices"] == ["aoc-migrate control concelier --continue"]
    assert controls(concelier) == ["pause before strong locks", "continue", "resume"]
    under_lock = [step for step in run.report["steps"] if "held_ms" in step]
    assert [list(step["pauses"]) for step in under_lock] == [["asked"], ["asked"]]


def test_asked_while_the_run_audits(excititor: Database, aoc: Aoc) -> None:
    """What is asked during the audit of the first upgrade, before any table of ours exists, is obeyed later."""
    fill(excititor, 10)
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE")
        process = aoc.start("upgrade", "excititor_0002", "--format", "json")
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        wait_until(lambda: excititor.value(locks) == 1)
        early = aoc.json("control", "excititor", "--pause-before-strong")
        other.rollback()
    until_waiting(excititor, "pausing before this strong lock")
    rest = aoc("control", "excititor", "--resume")
    run = ended(process)

    assert (early.exit_code, rest.exit_code, run.exit_code) == (0, 0, 0), run.err
    assert (at(excititor), controls(excititor)) == ("excititor_0002", ["pause before strong locks", "resume"])
