"""A query that only observes the work may fail: the log says so once, and nothing ends."""

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from aoc_migrate.database import log
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle import throttle
from aoc_migrate.database.throttle.archive import Archive
from aoc_migrate.database.throttle.old_snapshot import OldSnapshot
from aoc_migrate.database.throttle.signal import Signal, Unknown, WritingStep
from aoc_migrate.database.throttle.slot import Slot
from aoc_migrate.database.throttle.standby import Standby
from aoc_migrate.database.throttle.vacuum import Vacuum
from aoc_migrate.database.throttle.waiters import Waiters
from aoc_migrate.database.watcher import watched
from tests.conftest import Aoc, Database
from tests.helpers import backfill, before_backfill, wait_until, wrong_links

READS: dict[type[Signal], str] = {
    Waiters: "table pg_inherits",
    Standby: "function pg_stat_get_wal_senders",
    Slot: "function pg_get_replication_slots",
    Archive: "function pg_stat_get_archiver",
    Vacuum: "function pg_stat_get_progress_info",
    OldSnapshot: "function pg_prepared_xact",
}
"""What the query of each signal reads."""


@pytest.fixture
def excititor_before_backfill(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return before_backfill(excititor, aoc, retrofit, request)


def make_owner(database: Database) -> str:
    """Give our tables to an ordinary role that sees every session, and return its URL."""
    role = f"owner_{database.connection.info.backend_pid}"
    tables = ("vex_raw", "aoc_migration_state", "aoc_migration_hold", "aoc_alembic_version", "aoc_migration_log")
    database.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'p' IN ROLE pg_read_all_stats;"
        f"GRANT CREATE ON SCHEMA public TO {role};"
        + "".join(f"ALTER TABLE IF EXISTS {table} OWNER TO {role};" for table in tables)
    )
    return database.url_as(role, "p")


def hide(database: Database, name: str) -> None:
    """Revoke from ordinary roles the right to read a table or to call a function of the catalog."""
    right = "SELECT" if name.startswith("table") else "EXECUTE"
    database.run(f"REVOKE {right} ON {name} FROM PUBLIC")


@pytest.mark.parametrize("signal", READS, ids=lambda signal: signal.kind)
def test_a_signal_without_its_right_is_unknown(signal: type[Signal], excititor: Database) -> None:
    """A signal whose query is refused says Unknown, with PostgreSQL's reason."""
    url = make_owner(excititor)
    hide(excititor, READS[signal])

    with connect(Target("excititor", url), "test", Limits(max_lag_bytes=1), Flags()) as session:
        verdict = signal(WritingStep(session, "link rows", "vex_raw", 1.0)).evaluate()

    assert verdict == Unknown(f"permission denied for {READS[signal]}")


def test_an_unreadable_signal_is_reported_once_and_pauses_nothing(
    excititor_before_backfill: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says once that a signal cannot be read; the work goes on, and the other signals are read."""
    database = excititor_before_backfill
    monkeypatch.setattr(throttle, "SECONDS_BETWEEN_EVALUATIONS", 0)
    url = make_owner(database)
    hide(database, READS[Archive])
    with psycopg.connect(database.url) as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT pg_sleep(0.2)")

        report = backfill(database, url, max_lag_seconds=3600.0, old_snapshot=0.1, snapshot_wait=0.1)
    log = capsys.readouterr().err

    assert report.exit_code == 0
    assert (report.steps[0].batches or 0) > 3
    unseen = "cannot see how far the WAL archive is behind (permission denied for function pg_stat_get_archiver)"
    assert log.count(unseen) == log.count("cannot see") == 1
    assert [f.slug for f in report.findings] == ["snapshot-held"]
    assert wrong_links(database) == 0


class Sleeping(Signal):
    """A signal whose query takes too long."""

    kind = what = "a slow signal"

    def reason(self) -> None:
        """Sleep beyond every timeout."""
        self.session.rows("SELECT pg_sleep(30)")


class Disconnecting(Signal):
    """A signal during whose query the connection is lost."""

    kind = what = "a lost connection"

    def reason(self) -> None:
        """Terminate the signal's own backend."""
        self.session.rows("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_slow_signal_is_reported_once(
    excititor_before_backfill: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says once that a query met its timeout, and the work goes on."""
    monkeypatch.setattr(throttle, "SIGNALS", (Sleeping,))

    report = backfill(excititor_before_backfill)
    log = capsys.readouterr().err

    assert report.exit_code == 0
    assert log.count("cannot see a slow signal (canceling statement due to statement timeout)") == 1


def test_a_revoked_right_is_reported_once(
    excititor_before_backfill: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a DBA revoked the right to list slots, the backfill says once what it cannot see, and succeeds."""
    url = make_owner(excititor_before_backfill)
    hide(excititor_before_backfill, READS[Slot])

    report = backfill(excititor_before_backfill, url)
    log = capsys.readouterr().err

    assert report.exit_code == 0
    for what in ("how far replication slots are behind", "who holds old snapshots"):
        assert log.count(f"cannot see {what} (permission denied for function pg_get_replication_slots)") == 1
    assert wrong_links(excititor_before_backfill) == 0


def test_an_unreadable_queue_is_reported_once(excititor: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A second session that watches a step says once what it cannot see, and goes on."""
    url = make_owner(excititor)
    hide(excititor, "function pg_blocking_pids")
    pids: list[int] = []
    with connect(Target("excititor", url), "test", Limits(), Flags()) as session:

        def observe(other: Session, pid: int) -> None:
            pids.append(other.connection.info.backend_pid)
            Blockers(session).observe(other, pid)
            other.value("SELECT nothing")

        with watched(session, observe, every=0.02):
            wait_until(lambda: len(pids) > 1)
    log = capsys.readouterr().err

    assert len(pids) > 1
    assert len(set(pids)) == 1
    assert log.count("cannot see who blocks this session, and who waits for it (permission denied") == 1
    assert log.count("cannot see how this step goes on (column") == 1


def test_a_step_goes_on_without_its_watcher(excititor: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no second connection is to spare, the log says once that nothing watches the step, which goes on."""
    url, seen = make_owner(excititor), list[Session]()
    with connect(Target("excititor", url), "test", Limits(), Flags()) as session:
        excititor.run(f"ALTER ROLE {session.value('SELECT current_user')} CONNECTION LIMIT 1")
        log.configure("json")
        try:
            with watched(session, lambda other, _: seen.append(other), every=0.02):
                session.run("SELECT pg_sleep(0.5)")
        finally:
            log.configure("text")
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())

    assert seen == []
    assert (line["event"], line["level"]) == ("unseen", "warning")
    assert line["fields"] == {"message": "nothing watches this step for now (unreachable); it goes on"}


def test_an_unknown_holder_still_ends_in_deadline(
    excititor_before_backfill: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind a locked row the outcome is `deadline`, even where nobody can be named."""
    database = excititor_before_backfill
    url = make_owner(database)
    hide(database, "function pg_blocking_pids")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(database.url) as holder, ThreadPoolExecutor() as pool:
        holder.execute("SELECT FROM vex_raw WHERE id = 'r252' FOR UPDATE")
        running = pool.submit(backfill, database, url, deadline=0.01)
        wait_until(lambda: database.value(waiting) == 1)
        hide(database, READS[Waiters])

        report = running.result()

    assert [f.slug for f in report.findings] == ["deadline"]
    assert report.exit_code == 3
    assert capsys.readouterr().err.count("cannot see who holds locks on vex_raw (permission denied") == 1


def test_a_lost_connection_ends_the_work(
    excititor_before_backfill: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal that fails because the connection is gone ends the work: exit 3."""
    monkeypatch.setattr(throttle, "SIGNALS", (Disconnecting,))

    report = backfill(excititor_before_backfill)

    assert ([f.slug for f in report.findings], report.exit_code) == (["connection-lost"], 3)
    assert "cannot see" not in capsys.readouterr().err
