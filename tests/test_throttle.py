"""The backfill pauses for others: it names them, then goes on by itself or gives up at the deadline."""

import threading
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.lock_queue import lock_queue
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.throttle import Throttle
from tests.conftest import Aoc, Database, Ran
from tests.helpers import backfill, before_backfill, fill, unread_slot, wait_until, wrong_links

SMALL = ("--batch-rows", "100")


@pytest.fixture
def excititor_before_backfill(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit)


def step(ran: Ran) -> Any:
    """Return the step of the backfill."""
    (found,) = [s for s in ran.report["steps"] if s["statement"] == "link rows of vex_raw"]
    return found


def linked(database: Database) -> int:
    """Return how many rows have a link."""
    return int(database.value("SELECT count(supersedes) FROM vex_raw"))


def test_a_slot_that_falls_behind_stops_the_backfill(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """An unread slot means exit 3 with its name; finished batches are kept, and the next run goes on there."""
    with unread_slot(excititor_before_backfill) as slot:
        ran = aoc.json("upgrade", *SMALL, "--max-lag", "1MB", "--deadline", "1s")
        off = aoc("upgrade", "excititor_0006", *SMALL, "--max-lag", "off")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (3, ["deadline"], True)
    assert f"slot '{slot}' is " in ran.finding("deadline")["problem"]
    assert "pg_drop_replication_slot" in ran.finding("deadline")["help"]
    assert f"pausing because slot '{slot}' is" in ran.err
    assert (step(ran)["batches"], step(ran)["rows"]) == (1, 80)
    assert step(ran)["pauses"] == {"slot": step(ran)["paused_ms"]}
    assert step(ran)["paused_ms"] >= 1000
    assert off.exit_code == 0
    assert wrong_links(excititor_before_backfill) == 0
    assert aoc.json("chain", "--drop-journal").report["facts"] == {"batches": 4, "links": 319}


def test_the_downgrade_pauses_too(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """Setting links back pauses the same way: stopped by a slot after its first batch, and resumed."""
    assert aoc("upgrade", "excititor_0006").exit_code == 0
    with unread_slot(excititor_before_backfill):
        ran = aoc("downgrade", "-1", *SMALL, "--max-lag", "1MB", "--deadline", "1s")
    left = linked(excititor_before_backfill)

    assert (ran.exit_code, left) == (3, 319 - 100)
    assert aoc("downgrade", "-1", *SMALL).exit_code == 0
    assert linked(excititor_before_backfill) == 0


def test_rows_on_their_way_into_quarantine_pause_too(excititor: Database, aoc: Aoc) -> None:
    """Moving rows pauses the same way: stopped by a slot after its first batch, and resumed."""
    fill(excititor, 150)
    excititor.run("UPDATE vex_raw SET upstream_id = 'CVE-1', content_hash = 'sha256:1'")
    aoc.configure(excititor)
    with unread_slot(excititor):
        ran = aoc.json("dedupe", "--apply", *SMALL, "--max-lag", "1MB", "--deadline", "1s")
    resumed = aoc.json("dedupe", "--apply")

    assert (ran.exit_code, ran.slugs("error"), ran.report["facts"]["moved"]) == (3, ["deadline"], 16)
    assert (resumed.exit_code, resumed.report["facts"]["moved"]) == (0, 133)


def test_a_small_backfill_never_pauses(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """A step of one batch evaluates no signal: a fresh installation waits for nobody."""
    with unread_slot(excititor_before_backfill):
        ran = aoc.json("upgrade", "excititor_0006", "--max-lag", "1kB")

    assert (ran.exit_code, step(ran)["batches"]) == (0, 1)
    assert "paused_ms" not in step(ran)


def test_an_old_snapshot_is_waited_for_but_not_for_ever(
    excititor_before_backfill: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """The backfill waits for an old snapshot for a limited time, then goes on, and the report warns."""
    with psycopg.connect(excititor_before_backfill.url, application_name="pg_dump") as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT pg_sleep(0.2)")
        pid = dump.info.backend_pid

        report = backfill(excititor_before_backfill, old_snapshot=0.1, snapshot_wait=1.5)

    (finding,) = [f for f in report.findings if f.slug == "snapshot-held"]
    (done,) = report.steps
    assert report.exit_code == 0
    assert (finding.severity, finding.subject) == ("warning", "vex_raw")
    assert f"pid {pid} " in finding.problem
    assert list(done.pauses or {}) == ["snapshot"]
    assert (done.pauses or {})["snapshot"] >= 1500
    assert "an old snapshot keeps dead rows from being cleaned" in capsys.readouterr().err
    assert wrong_links(excititor_before_backfill) == 0


def test_a_snapshot_that_ends_leaves_no_warning(excititor_before_backfill: Database) -> None:
    """A snapshot that ends while it waits leaves no warning behind."""
    dump = psycopg.connect(excititor_before_backfill.url)
    dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    dump.execute("SELECT pg_sleep(0.2)")
    timer = threading.Timer(0.5, dump.close)
    timer.start()

    report = backfill(excititor_before_backfill, old_snapshot=0.1)

    assert [f.slug for f in report.findings] == []
    assert list(report.steps[0].pauses or {}) == ["snapshot"]


def test_a_queue_for_the_table_pauses_the_backfill(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """While somebody waits for a lock that writers would queue behind, it pauses, and then ends well."""
    process = aoc.start("upgrade", "excititor_0006", *SMALL, "--pace", "1%")
    wait_until(lambda: linked(excititor_before_backfill) > 0)
    with (
        psycopg.connect(excititor_before_backfill.url) as reader,
        psycopg.connect(excititor_before_backfill.url, autocommit=True) as other,
    ):
        reader.execute("SELECT FROM vex_raw LIMIT 1")
        ddl = threading.Thread(target=lambda: other.execute("ALTER TABLE vex_raw ADD strong text"))
        ddl.start()
        assert process.stderr is not None
        line = f"pausing because pid {other.info.backend_pid} waits for a lock on vex_raw"
        wait_until(lambda: line in process.stderr.readline())
        reader.rollback()
        ddl.join()
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert wrong_links(excititor_before_backfill) == 0


def test_a_session_that_waits_for_our_row_gets_a_pause(excititor_before_backfill: Database) -> None:
    """A session that waits for a row that we have locked is seen from a second session, and gets a pause."""
    target = Target("excititor", excititor_before_backfill.url)
    with (
        connect(target, "test", Limits(), Flags()) as session,
        connect(target, "watch", Limits(), Flags()) as watch,
    ):
        throttle = Throttle(session, "link rows of vex_raw", "vex_raw")
        pid = session.connection.info.backend_pid
        with psycopg.connect(excititor_before_backfill.url, autocommit=True) as other, session.transaction():
            session.run("SELECT FROM public.vex_raw WHERE id = 'r1' FOR UPDATE")
            update = "UPDATE vex_raw SET linkset = linkset WHERE id = 'r1'"
            waiter = threading.Thread(target=lambda: other.execute(update))
            waiter.start()
            wait_until(lambda: lock_queue(watch, pid).behind == 1)
            throttle.step.waiting = lock_queue(watch, pid).behind
        waiter.join()

        throttle.wait()

    assert list(throttle.seconds) == ["lock"]


def test_a_batch_behind_a_locked_row_keeps_no_locks(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """Behind a locked row no batch keeps its own locks; at the deadline the holder of the row is named."""
    with psycopg.connect(excititor_before_backfill.url, application_name="a slow service") as holder:
        holder.execute("SELECT FROM vex_raw WHERE id = 'r399' FOR UPDATE")
        pid = holder.info.backend_pid
        ran = aoc.json("upgrade", "excititor_0006", *SMALL, "--deadline", "2s")
        ours = "SELECT count(*) FROM pg_locks WHERE relation = 'vex_raw'::regclass AND pid <> %s"
        wait_until(lambda: excititor_before_backfill.value(ours, [pid]) == 0)

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"])
    assert f"pid {pid} " in ran.finding("deadline")["problem"]
    assert "a slow service" in ran.finding("deadline")["problem"]
    assert step(ran)["attempts"] > 2
    assert 0 < linked(excititor_before_backfill) < 319
    assert aoc("upgrade", "excititor_0006").exit_code == 0
    assert wrong_links(excititor_before_backfill) == 0


def test_a_role_that_sees_little_can_run_the_backfill(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """A role that may not see standbys and sessions of others works, and its report says so once."""
    role = f"plain_{excititor_before_backfill.connection.info.backend_pid}"
    excititor_before_backfill.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CREATE ON SCHEMA public TO {role}; "
        f"ALTER TABLE vex_raw OWNER TO {role}; ALTER TABLE aoc_migration_state OWNER TO {role}; "
        f"ALTER TABLE aoc_migration_hold OWNER TO {role}; "
        f"ALTER TABLE aoc_alembic_version OWNER TO {role}; ALTER TABLE aoc_migration_log OWNER TO {role}"
    )
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor_before_backfill.url_as(role, "p")

    ran = aoc.json("upgrade", *SMALL)

    assert (ran.exit_code, ran.slugs().count("limited-visibility")) == (0, 1), ran.err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--max-lag", "3"], "write 64MB, 10s"),
        (["--max-lag", "64 elephants"], "write 64MB, 10s"),
        (["--pace", "0.5"], "between 1% and 100%"),
        (["--pace", "0%"], "between 1% and 100%"),
        (["--batch-time", "2s"], "the maximum is 500ms"),
        (["--batch-rows", "0"], "1<=x<=20000"),
    ],
)
def test_wrong_limits_exit_2(words: list[str], answer: str, aoc: Aoc) -> None:
    """A lag without a unit, a pace of 0 % and a batch that would last too long exit 2 with what to write."""
    ran = aoc("upgrade", *words)

    assert ran.exit_code == 2
    assert answer in ran.err


def test_limits_are_in_the_report(excititor_before_backfill: Database, aoc: Aoc) -> None:
    """The report says which pace and which lag were in effect; --max-lag may be given twice or as a list."""
    once = aoc.json("upgrade", "--pace", "50%", "--max-lag", "64MB,10s").report["parameters"]
    twice = aoc.json("chain", "--max-lag", "10s", "--max-lag", "64MB").report["parameters"]

    assert (once["pace"], once["max_lag_bytes"], once["max_lag_seconds"]) == (0.5, 64 * 2**20, 10.0)
    assert (twice["pace"], twice["max_lag_bytes"], twice["max_lag_seconds"]) == (1.0, 64 * 2**20, 10.0)
