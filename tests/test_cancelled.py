"""A person who cancels a statement of ours ends the work; our own timeout does not."""

import math
import threading

import psycopg
import pytest

from aoc_migrate.database.observing import cancelled_by_person
from aoc_migrate.database.throttle import throttle
from aoc_migrate.database.throttle.signal import Signal
from tests.conftest import Aoc, Database, Ran
from tests.helpers import PINNED, backfill, before_backfill, wait_until, wrong_links

SLEEPING = (
    "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep' "
    "AND query_start < clock_timestamp() - interval '{} s' AND query_start > clock_timestamp() - interval '0.9 s'"
)


@pytest.fixture
def excititor_before_backfill(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit, request)


@pytest.mark.parametrize(
    ("error", "elapsed", "bound", "by_person"),
    [
        (psycopg.errors.QueryCanceled(), 0.3, 1.0, True),
        (psycopg.errors.QueryCanceled(), 1.0, 1.0, False),
        (psycopg.errors.QueryCanceled(), 0.995, 1.0, False),
        (psycopg.errors.QueryCanceled(), 3600.0, math.inf, True),
        (psycopg.errors.LockNotAvailable(), 0.3, 1.0, False),
    ],
)
def test_only_a_cancel_before_the_timeout_is_a_persons(
    error: psycopg.Error, elapsed: float, bound: float, by_person: bool
) -> None:
    """A cancel before the statement's timeout is a person's; at the timeout, or of a lock's wait, it is not."""
    assert cancelled_by_person(error, elapsed, bound) is by_person


@pytest.mark.alike
@pytest.mark.parametrize("stall", ["2.6ms", "3.4ms"])
def test_a_timeout_of_few_milliseconds_is_no_persons(stall: str, excititor: Database, aoc: Aoc) -> None:
    """However little time is left for a statement under a strong lock, our timeout is not taken for a cancel."""
    excititor.run(
        "CREATE FUNCTION dozes() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog "
        "AS 'BEGIN PERFORM pg_sleep(5); END'; CREATE EVENT TRIGGER dozes ON ddl_command_end "
        "WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION dozes()"
    )
    aoc.configure(excititor)

    ran = aoc.json("upgrade", "--max-stall", stall)

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"]), ran.err


def cancel(database: Database, after: float = 0.0, query: str = "") -> None:
    """Cancel the statement of ours that sleeps, while its timeout of a second is still to come."""
    sleeping = f"{SLEEPING.format(after)} AND strpos(query, '{query}') > 0"
    wait_until(lambda: database.value(f"SELECT count(pg_cancel_backend(pid)) {sleeping}") == 1)


def test_a_cancelled_batch_ends_the_work(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """pg_cancel_backend during a batch: exit 4 with `cancelled`, what had ended is kept, and it goes on."""
    excititor_before_backfill.run(
        f"CREATE FUNCTION naps() {PINNED} 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END';"
        "CREATE TRIGGER naps BEFORE UPDATE ON vex_raw FOR EACH ROW WHEN (NEW.id = 'r252') EXECUTE FUNCTION naps()"
    )
    words = ("upgrade", "excititor_0006", "--batch-rows", "100", "--format", "json")
    process = aoc.start(*words, "--accept", "update-trigger:naps")
    cancel(excititor_before_backfill)
    out, err = process.communicate(timeout=30)
    ran = Ran(process.returncode, out, err)
    kept = excititor_before_backfill.value("SELECT count(supersedes) FROM vex_raw")
    excititor_before_backfill.run("DROP TRIGGER naps ON vex_raw")

    assert (ran.exit_code, ran.slugs("error")) == (4, ["cancelled"]), err
    assert "link rows of vex_raw" in ran.finding("cancelled")["problem"]
    assert "canceling statement due to user request" in ran.finding("cancelled")["problem"]
    assert "same command again" in ran.finding("cancelled")["help"]
    assert 0 < kept < 319
    assert aoc(*words).exit_code == 0
    assert wrong_links(excititor_before_backfill) == 0


class Slow(Signal):
    """A signal whose query takes most of its second."""

    kind = what = "a slow signal"

    def reason(self) -> None:
        """Sleep within the timeout."""
        self.session.rows("SELECT pg_sleep(0.7)")


class Sleeping(Signal):
    """A signal whose query takes too long."""

    kind = what = "a sleeping signal"

    def reason(self) -> None:
        """Sleep beyond the timeout."""
        self.session.rows("SELECT pg_sleep(30)")


def test_a_cancelled_signal_ends_the_work(
    excititor_before_backfill: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may cancel the query of a signal too, however long the queries before it took."""
    monkeypatch.setattr(throttle, "SECONDS_BETWEEN_EVALUATIONS", 0)
    monkeypatch.setattr(throttle, "SIGNALS", (Slow, Sleeping))
    person = threading.Thread(target=cancel, args=[excititor_before_backfill, 0.4, "(30)"])
    person.start()

    report = backfill(excititor_before_backfill)
    person.join()

    assert [f.slug for f in report.findings if f.severity == "error"] == ["cancelled"]


def test_a_cancelled_build_ends_the_work(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """pg_cancel_backend during an index build is reported as that, and the same command builds it."""
    excititor_before_backfill.run("DROP INDEX vex_raw_chain_v1")
    with psycopg.connect(excititor_before_backfill.url) as holder:
        holder.execute("INSERT INTO vex_raw SELECT * FROM vex_raw LIMIT 0; SELECT pg_current_xact_id()")
        process = aoc.start("upgrade", "excititor_0005", "--format", "json")
        building = "FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
        wait_until(lambda: excititor_before_backfill.value(f"SELECT count(*) {building}") == 1)
        excititor_before_backfill.run(f"SELECT pg_cancel_backend(pid) {building}")
    out, err = process.communicate(timeout=30)
    ran = Ran(process.returncode, out, err)

    assert (ran.exit_code, ran.slugs("error")) == (4, ["cancelled"]), err
    assert aoc("upgrade", "excititor_0005").exit_code == 0
