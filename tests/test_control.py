"""`control`: a run that is under way is paused, resumed and slowed down from another process."""

import json
import os
import signal
import threading

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.obeying import look
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from tests.conftest import Aoc, Database
from tests.helpers import before_backfill, wait_until, wrong_links
from tests.steering import asked, controls, ended, held_up, until_waiting
from tests.test_report_forms import problems

BACKFILL = ("upgrade", "excititor_0006")
RESUME = "aoc-migrate control excititor --resume"


@pytest.fixture
def waiting(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit, request)


def linked(database: Database) -> int:
    """Return how many rows have a link."""
    return int(database.value("SELECT count(supersedes) FROM vex_raw"))


def test_a_backfill_is_paused_and_resumed(waiting: Database, aoc: Aoc) -> None:
    """Paused from another process, the backfill writes nothing and outlives its deadline; resumed, it ends."""
    older = "SELECT now() - started_at > '5 s' FROM aoc_migration_log ORDER BY run DESC LIMIT 1"
    with held_up(waiting, aoc, *BACKFILL, "--deadline", "4s") as process:
        pause = aoc.json("control", "excititor", "--pause")
        until_waiting(waiting, "asked for it")
    before = linked(waiting)
    wait_until(lambda: waiting.value(older))
    during, status, shown = linked(waiting), aoc.json("status").report, aoc("control", "excititor").out
    resume = aoc.json("control", "excititor", "--resume")
    run = ended(process)

    assert (pause.exit_code, resume.exit_code, run.exit_code) == (0, 0, 0), run.err
    assert (before, during, wrong_links(waiting)) == (80, 80, 0)
    assert [problem for ran in (pause, resume, run) for problem in problems(ran.json)] == []
    assert pause.report["next"]["choices"] == status["next"]["choices"] == [RESUME]
    assert f"; to go on: {RESUME}" in status["facts"]["running"][0]["waits_for"]
    assert status["facts"]["asked"] == {"pause": "yes"}
    assert "asked pause: yes" in " ".join(shown.split()), shown
    assert RESUME in shown
    (step,) = [s for s in run.report["steps"] if s["statement"] == "link rows of vex_raw"]
    assert step["pauses"]["asked"] > 0
    assert [c["asked"] for c in run.report["facts"]["controls"]] == ["pause", "resume"]
    assert run.report["facts"]["controls"][0]["by"] == waiting.connection.info.user
    assert run.err.count(": pause\n") == run.err.count(": resume\n") == 1
    assert (controls(waiting), asked(waiting)) == (["pause", "resume"], None)
    assert "asked by " in str(aoc.json("history").report["facts"]["runs"][0]["controls"])


def test_a_limit_changes_at_once(waiting: Database, aoc: Aoc) -> None:
    """A run that pauses for a slot goes on as soon as that lag no longer counts, while the slot is still there."""
    with held_up(waiting, aoc, *BACKFILL, "--log-format", "json") as process:
        changed = aoc.json("control", "excititor", "--max-lag", "off", "--batch-time", "20ms")
        run = ended(process)

    assert (changed.exit_code, run.exit_code) == (0, 0), run.err
    assert [line["event"] for line in map(json.loads, run.err.splitlines())].count("control") == 1
    assert changed.report["facts"]["asked"] == {"batch time": "20 ms", "max lag": "off", "max lag in time": "off"}
    assert (wrong_links(waiting), asked(waiting)) == (0, None)


def test_the_pace_is_that_of_the_row(waiting: Database, aoc: Aoc) -> None:
    """A session's limits are those that the row asks for, of two controllers the last, and then its own again."""
    typed = Limits(pace=0.5, batch_rows=7)
    with connect(Target("excititor", waiting.url), "test", typed, Flags()) as session:
        with runner_lock(session):
            paces = [session.limits.pace]
            for pace in ("20%", "30%"):
                assert aoc("control", "excititor", "--pace", pace).exit_code == 0
                look(session, at_once=True)
                paces.append(session.limits.pace)
            waiting.run("UPDATE aoc_migration_state SET value = value || '{\"pace\": 1}' WHERE name = 'control'")
            look(session, at_once=True)
            waiting.run("DELETE FROM aoc_migration_state WHERE name = 'control'")
            look(session, at_once=True)
        assert session.steering is not None
        said = [change.asked for change in session.steering.changes]
        nameless = [change.by for change in session.steering.changes[2:]]
        assert (session.value("SHOW lock_timeout"), session.value("SHOW statement_timeout")) == ("10min", "0")

    assert (paces, session.limits) == ([0.5, 0.2, 0.3], typed)
    assert said == ["pace 20%", "pace 30%", "pace 100%", "pace as typed"]
    assert nameless == ["somebody", "somebody"]


def test_a_long_history_is_forgotten_and_the_settings_are_not(waiting: Database, aoc: Aoc) -> None:
    """Where the changes fill the row, the next one takes their place, and what was asked before stays in force."""
    longer = (
        "UPDATE aoc_migration_state SET value = jsonb_set(value, '{changes}', (SELECT jsonb_agg(c) FROM "
        "generate_series(1, 5300), jsonb_array_elements(value->'changes') AS c)) WHERE name = 'control'"
    )
    with connect(Target("excititor", waiting.url), "test", Limits(), Flags()) as session, runner_lock(session):
        assert aoc("control", "excititor", "--pause", "--stop-after", "excititor_0006").exit_code == 0
        waiting.run(longer)
        look(session, at_once=True)
        assert aoc("control", "excititor", "--pace", "50%").exit_code == 0
        look(session, at_once=True)
        row = asked(waiting)
        assert session.steering is not None
        last = [change.asked for change in session.steering.changes[5299:]]

    assert (row["pause"], row["stop_after"], row["pace"]) == (True, "excititor_0006", 0.5)
    assert [change["asked"] for change in row["changes"]] == ["pace 50%"]
    assert last == ["pause, stop after excititor_0006", "pace 50%"]


def test_two_controllers(waiting: Database, aoc: Aoc) -> None:
    """Of many controllers at the same time, each is in the ledger, and what they asked is merged into one row."""
    words = [("--pause",), ("--pace", "20%"), ("--batch-time", "250ms"), ("--pace", "20%", "--max-lag", "3MB")]
    with held_up(waiting, aoc, *BACKFILL) as process:
        threads = [threading.Thread(target=aoc, args=("control", "excititor", *w)) for w in words]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        row = asked(waiting)
        until_waiting(waiting, "asked for it")
    aoc("control", "excititor", "--resume")
    run = ended(process)

    assert run.exit_code == 0, run.err
    assert (row["pause"], row["pace"], row["batch_time"], row["max_lag_bytes"]) == (True, 0.2, 0.25, 3 * 2**20)
    assert sorted(controls(waiting)) == [
        "batch time 250 ms",
        "pace 20%",
        "pace 20%, max lag 3 MB",
        "pause",
        "resume",
    ]


@pytest.mark.parametrize("words", [(), ("--pause",), ("--stop-after", "head")])
def test_control_without_a_run(words: tuple[str, ...], excititor: Database, aoc: Aoc) -> None:
    """Where nothing runs, control exits 1, says so, and leaves nothing behind."""
    aoc.configure(excititor)
    ran = aoc.json("control", "excititor", *words)

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (1, ["nothing-to-control"], False)
    assert ran.report["next"]["command"] == "aoc-migrate status excititor"
    assert excititor.value("SELECT to_regclass('aoc_migration_state') IS NULL")


ROWS = [
    ("[]", "the whole row"),
    ('"\\u0007"', "the whole row"),
    ('{"pause": 1, "pace": "fast", "x\\u202e": {}}', "pace, x\\u202e, pause"),
    ('{"pace": 1e400, "max_lag_bytes": true, "stop_after": 7}', "pace, stop_after, max_lag_bytes"),
    ('{"pace": 0.009, "batch_time": 0.51, "max_lag_bytes": 0}', "pace, batch_time, max_lag_bytes"),
    ('{"pace": 0.01, "batch_time": 0.5, "max_lag_bytes": 1}', ""),
    ('{"pause": false, "changes": [1, {"by": 2}, []], "by": [], "at": {}}', ""),
]


@pytest.mark.alike
@pytest.mark.parametrize(("row", "ignored"), [*ROWS, (f'{{"x": "{"x" * 1_100_000}"}}', "the whole row")])
def test_a_malformed_row_is_ignored(row: str, ignored: str, waiting: Database, aoc: Aoc) -> None:
    """Whatever is in the row, the run names once what it ignores, and goes on; control still merges into it."""
    with held_up(waiting, aoc, *BACKFILL) as process:
        waiting.run("INSERT INTO aoc_migration_state (name, value) VALUES ('control', %s::jsonb)", [row])
        shown = aoc.json("control", "excititor")
        assert process.stderr is not None
        line = ""
        while ignored and "; ignored: " not in line:
            line = process.stderr.readline()
        changed = aoc.json("control", "excititor", "--max-lag", "off")
        run = ended(process)

    assert (shown.exit_code, changed.exit_code, run.exit_code) == (0, 0, 0), run.err
    assert line.partition("; ignored: ")[2].strip() == ignored
    assert "; ignored: " not in run.err
    assert wrong_links(waiting) == 0


def test_a_killed_run_leaves_nothing_to_the_next(waiting: Database, aoc: Aoc) -> None:
    """What was asked of a run that was killed is deleted by the next run, which does not obey it."""
    with held_up(waiting, aoc, *BACKFILL) as process:
        assert aoc("control", "excititor", "--pause").exit_code == 0
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    left = asked(waiting)
    wait_until(lambda: waiting.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)
    run = aoc.json(*BACKFILL)

    assert left["pause"] is True
    assert (run.exit_code, asked(waiting), "controls" in run.report["facts"]) == (0, None, False)


@pytest.mark.parametrize("tenant", [(), ("--tenant", "default")])
def test_a_role_that_is_not_the_owner(tenant: tuple[str, ...], waiting: Database, aoc: Aoc) -> None:
    """A verifier sees the run, and one of all tenants what is asked of it; it may ask nothing, and learns why."""
    role = f"reads_{waiting.connection.info.backend_pid}"
    aoc.environment["AOC_VERIFIER_USER"] = role
    waiting.run("ALTER TABLE vex_raw ENABLE ROW LEVEL SECURITY")
    assert aoc("verifier", "create", *tenant).exit_code == 0
    waiting.run(f"ALTER ROLE {role} PASSWORD 'r'; ALTER ROLE {role} SET default_transaction_read_only = off")
    reader = {"EXCITITOR_DATABASE_URL": waiting.url_as(role, "r")}
    try:
        with held_up(waiting, aoc, *BACKFILL) as process:
            shown = aoc.json("control", "excititor", **reader)
            refused = aoc.json("control", "excititor", "--pause", **reader)
            before = asked(waiting)
        run = ended(process)
    finally:
        waiting.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")

    assert (shown.exit_code, refused.exit_code, run.exit_code) == (0, 1, 0), shown.out
    assert ("running" in shown.report["facts"], "asked" in shown.report["facts"]) == (True, not tenant)
    assert set(refused.slugs("error")) == {"privileges"}
    assert (before, controls(waiting)) == (None, [])


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--pause", "--resume"), "exclude each other"),
        (("--pause", "--continue"), "exclude each other"),
        (("--pace", "0.5"), "between 1% and 100%"),
        (("--batch-time", "2s"), "the maximum is 500ms"),
        (("--max-lag", "3"), "write 64MB, 10s"),
        (("--pause", "--deadline", "1s"), "No such option"),
    ],
)
def test_wrong_usage_exits_2(words: tuple[str, ...], answer: str, aoc: Aoc) -> None:
    """Options that contradict each other, and values without a unit or out of range, exit 2."""
    ran = aoc("control", "excititor", *words)

    assert ran.exit_code == 2
    assert answer in ran.err
