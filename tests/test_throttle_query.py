"""--throttle-query: the operator's own query pauses the backfill, and its text is never printed."""

import subprocess
import sys
from pathlib import Path

import pytest

from aoc_migrate.database.batches import batches
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle import operator_query
from aoc_migrate.database.throttle.operator_query import OperatorQuery
from aoc_migrate.database.throttle.signal import Stop, Unknown, WritingStep
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import before_backfill, fill, wait_until, wrong_links
from tests.test_throttle import linked, step

SMALL = ("--batch-rows", "100")
SECRET = "hunter2"
UNKNOWN = "cannot see what --throttle-query answers"
FAILED = "throttle-query-failed"
OURS = "WHERE application_name LIKE 'aoc-migrate throttle @%: excititor'"
CONNECTIONS = f"SELECT count(*) FROM pg_stat_activity {OURS}"


@pytest.fixture
def load(excititor: Database) -> Database:
    """An excititor with a table that says whether the services are busy: they are."""
    excititor.run("CREATE TABLE public.load AS SELECT true AS busy")
    return excititor


@pytest.fixture
def database(load: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """The same with 400 rows without links, one step before the backfill."""
    return before_backfill(load, aoc, retrofit)


def test_true_pauses_and_false_goes_on(database: Database, aoc: Aoc) -> None:
    """While the query returns true the backfill pauses, says so, and counts it; on false it goes on."""
    process = aoc.start("upgrade", *SMALL, "--format", "json", AOC_THROTTLE_QUERY="SELECT busy FROM public.load")
    assert process.stderr is not None
    reason = "pausing because the query of --throttle-query returns true"
    assert any(reason in line for line in iter(process.stderr.readline, ""))
    connections = database.value(CONNECTIONS)
    database.run("UPDATE public.load SET busy = false")
    out, _ = process.communicate(timeout=60)

    assert (process.returncode, connections, wrong_links(database)) == (0, 1, 0)
    assert '"query": ' in out[out.index('"pauses"') :]
    assert FAILED not in out


def test_a_pause_ends_at_the_deadline(database: Database, aoc: Aoc) -> None:
    """A query that stays true ends the run with exit 3; `next` resumes, without the text, and says so."""
    ran = aoc.json(
        "upgrade",
        *SMALL,
        "--deadline",
        "1s",
        "--throttle-query",
        f"SELECT '{SECRET}' = ANY ('{{{SECRET}}}'::text[])",
    )
    again = "AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate upgrade excititor --deadline 1s --batch-rows 100"

    assert (ran.exit_code, ran.slugs("error"), linked(database)) == (3, ["deadline"], 80)
    assert "It paused because the query of --throttle-query returns true." in ran.finding("deadline")["problem"]
    assert ran.finding("deadline")["help"].startswith("Wait until it returns false, or run without it.")
    assert list(step(ran)["pauses"]) == ["query"]
    assert ran.report["next"]["command"].replace("excititor ", "") == again.replace("excititor ", "")
    assert ran.report["next"]["note"].endswith(
        "--throttle-query is not repeated here: give it again, or set AOC_THROTTLE_QUERY."
    )
    assert SECRET not in ran.out + ran.err


def test_the_variable_needs_no_note(database: Database, aoc: Aoc) -> None:
    """A query from the environment is still there for the command to type next, which says nothing of it."""
    ran = aoc.json("upgrade", *SMALL, "--deadline", "1s", AOC_THROTTLE_QUERY="SELECT true")

    assert ran.exit_code == 3
    assert "--throttle-query" not in ran.report["next"]["note"] + ran.report["next"]["command"]


TIMEOUT = "it took longer than 1 s"
NOT_BOOLEAN = "it must return one column, of type boolean"
WRITES = "it writes, and its transaction is read-only (SQLSTATE 25006)"
SYNTAX = "a syntax error, or more than one statement (SQLSTATE 42601)"
HOSTILE = {
    "SELECT 1/0 = 0": "division by zero (SQLSTATE 22012)",
    f"SELECT '{SECRET}'::int = 1": "invalid text representation (SQLSTATE 22P02)",
    f"SELECT {SECRET}": "undefined column (SQLSTATE 42703)",
    f"SELECT {SECRET} FROM": SYNTAX,
    "SELECT busy FROM load": "undefined table; names outside pg_catalog need their schema (SQLSTATE 42P01)",
    "SELECT pg_sleep(100) IS NULL": TIMEOUT,
    "DELETE FROM public.load": NOT_BOOLEAN,
    "DELETE FROM public.load RETURNING busy": WRITES,
    "WITH gone AS (DELETE FROM public.load RETURNING busy) SELECT busy FROM gone": WRITES,
    "SELECT busy FROM public.load FOR UPDATE": WRITES,
    "SELECT set_config('transaction_read_only', 'off', false) IS NULL": "active sql transaction (SQLSTATE 25001)",
    "COMMIT; DROP TABLE public.load": SYNTAX,
    "SELECT false; SELECT true": SYNTAX,
    "COMMIT": NOT_BOOLEAN,
    "SET statement_timeout = 0": NOT_BOOLEAN,
    "COPY (SELECT true) TO STDOUT": NOT_BOOLEAN,
    "-- nothing": NOT_BOOLEAN,
    f"SELECT '{SECRET}'": NOT_BOOLEAN,
    "SELECT true, true": NOT_BOOLEAN,
    "SELECT repeat('x', 1000000000)": NOT_BOOLEAN,
    "SELECT NULL::boolean": "it returned NULL",
    "SELECT true WHERE false": "it must return one row, and returned none",
    "SELECT true FROM pg_class, pg_class AS b, pg_class AS c": "it must return one row, and returned more",
    "SELECT pg_terminate_backend(pg_backend_pid())": "admin shutdown (SQLSTATE 57P01)",
    "SELECT true" + " " * 100_000 + f"AND {SECRET}": "undefined column (SQLSTATE 42703)",
}


@pytest.mark.parametrize(("query", "reason"), HOSTILE.items(), ids=[query[:60] for query in HOSTILE])
def test_an_answer_that_is_no_boolean_is_unknown(query: str, reason: str, load: Database) -> None:
    """An error, a write, several statements or another answer is Unknown, for a reason without text or values."""
    with connect(Target("excititor", load.url), "test", Limits(throttle_query=query), Flags()) as session:
        signal = OperatorQuery(WritingStep(session, "link rows", "vex_raw", 1.0))
        verdicts = [signal.evaluate(), signal.evaluate()]
        signal.close()
    (warning,) = session.findings[:1]

    assert verdicts == [Unknown(reason)] * 2
    assert SECRET not in warning.problem + warning.help
    assert load.rows("SELECT busy FROM public.load") == [(True,)]


@pytest.mark.parametrize("query", [f"SELECT '{SECRET}'::int = 1", "COMMIT; DROP TABLE public.load"])
def test_an_unknown_answer_pauses_nothing(query: str, database: Database, aoc: Aoc) -> None:
    """It is said once and warned of in the report, and the backfill goes on."""
    reason = HOSTILE[query]

    ran = aoc.json("upgrade", *SMALL, "--throttle-query", query)

    assert (ran.exit_code, ran.slugs()) == (0, [FAILED])
    assert ran.err.count(f"{UNKNOWN} ({reason}); going on without it") == ran.err.count(UNKNOWN) == 1
    assert f"could not be read: {reason}. link rows of vex_raw did not" in ran.finding(FAILED)["problem"]
    assert "paused_ms" not in step(ran)
    assert wrong_links(database) == 0
    for word in (SECRET, "DROP", "::int"):
        assert word not in ran.out + ran.err


def test_a_lost_connection_is_opened_again(load: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query whose connection was ended is Unknown once; then it is asked over a new one."""
    monkeypatch.setattr(operator_query, "SECONDS_AFTER_ERROR", 0)
    limits = Limits(throttle_query="SELECT busy FROM public.load")
    with connect(Target("excititor", load.url), "test", limits, Flags()) as session:
        signal = OperatorQuery(WritingStep(session, "link rows", "vex_raw", 1.0))
        before = signal.evaluate()
        load.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {OURS}")
        verdicts = [signal.evaluate(), signal.evaluate()]
        signal.close()

    assert before == Stop("the query of --throttle-query returns true")
    assert verdicts == [Unknown("admin shutdown (SQLSTATE 57P01)"), before]


def test_the_connection_ends_with_the_step(load: Database) -> None:
    """The query has one connection for a step, which is closed at the step's end."""
    limits = Limits(throttle_query="SELECT NOT busy FROM public.load")
    with connect(Target("excititor", load.url), "test", limits, Flags()) as session, runner_lock(session):
        with batches(session, "link rows", "vex_raw", ()) as running:
            running.throttle.wait()
            during = load.value(CONNECTIONS)
        wait_until(lambda: load.value(CONNECTIONS) == 0)

    assert (during, running.throttle.seconds) == (1, {})


def test_a_function_of_others_says_nothing(database: Database, aoc: Aoc) -> None:
    """What a function raises, as an error or a warning, with a SQLSTATE of its own, is not printed either."""
    database.run(
        "CREATE FUNCTION public.warns() RETURNS boolean LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE WARNING '{SECRET}'; RAISE EXCEPTION '{SECRET}' USING ERRCODE = 'AOC01'; END $$"
    )
    ran = aoc.json("upgrade", *SMALL, "--throttle-query", "SELECT public.warns()")

    assert (ran.exit_code, ran.err.count(f"{UNKNOWN} (an error of its own (SQLSTATE AOC01))")) == (0, 1)
    assert SECRET not in ran.out + ran.err


def test_it_runs_as_typed_in_a_session_like_ours(database: Database, aoc: Aoc) -> None:
    """The query is sent unchanged, % and all, with our search_path, in a read-only transaction, as the role."""
    session = (
        "SELECT current_setting('search_path') = 'pg_catalog, pg_temp' AND 'a%' LIKE '%a%' "
        "AND current_setting('transaction_read_only')::bool AND current_setting('statement_timeout') = '1s' "
        f"AND current_user = '{database.connection.info.user}' AND (SELECT busy FROM public.load)"
    )
    ran = aoc.json("upgrade", *SMALL, "--deadline", "1s", "--throttle-query", session)

    assert (ran.exit_code, list(step(ran)["pauses"])) == (3, ["query"])


def test_the_text_is_in_no_output(database: Database, aoc: Aoc, tmp_path: Path) -> None:
    """Neither a report in any form, nor evidence, nor the ledger, nor status or history has the text."""
    query = f"SELECT '{SECRET}' IS NULL"
    folder = tmp_path / "evidence"
    runs = [aoc("upgrade", *SMALL, "--evidence", str(folder), "-v", "--throttle-query", query)]
    runs += [
        aoc("downgrade", "base", "-v", "--format", form, AOC_THROTTLE_QUERY=query) for form in ("html", "json")
    ]
    runs += [aoc(*words.split(), "-v") for words in ("status", "history", "audit")]
    ledger = database.value("SELECT string_agg(log::text, '') FROM aoc_migration_log log")
    written = [file.read_text() for file in folder.rglob("*") if file.is_file()]

    assert [ran.exit_code for ran in runs[:3]] == [0, 0, 0]
    assert len(written) > 3
    for text in (*(ran.out + ran.err for ran in runs), ledger, *written):
        assert SECRET not in text


@pytest.mark.parametrize(
    "command",
    ["upgrade", "downgrade -1", "chain", "repair --rule all", "dedupe", "rehearse excititor --copy-is x"],
)
def test_every_command_with_batches_takes_it(command: str, aoc: Aoc) -> None:
    """Each command that writes batches takes the option, and refuses an empty one without a word of others."""
    ran = aoc(*command.split(), "--throttle-query", " ")

    assert ran.exit_code == 2
    assert "Invalid value for '--throttle-query' (env var: 'AOC_THROTTLE_QUERY'): it is empty" in ran.err


def test_the_report_says_whether_there_was_one(database: Database, aoc: Aoc) -> None:
    """Of the query, the report's limits have only whether there was one."""
    with_query = aoc.json("upgrade", AOC_THROTTLE_QUERY="SELECT false").report["parameters"]
    without = aoc.json("upgrade").report["parameters"]

    assert (with_query["throttle_query"], without["throttle_query"]) == (True, False)


def test_stock_alembic_reads_the_variable(load: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Stock Alembic asks the query of the environment too, and does not print it."""
    command = [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", "head"]
    fill(load, 2000)
    aoc.configure(load)
    environment = aoc.env(**retrofit, AOC_THROTTLE_QUERY=f"SELECT '{SECRET}'")
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr.count(f"{UNKNOWN} ({NOT_BOOLEAN})")) == (0, 1), ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
