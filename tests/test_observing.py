"""A query that only observes the work may fail: the log says so once, and nothing ends."""

import time

import psycopg
import pytest

from aoc_migrate.database import lock_queue, old_transactions
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle import slot, standby, throttle, waiters
from aoc_migrate.database.watcher import watched
from tests.conftest import Aoc, Database
from tests.helpers import backfill, make_ready, wrong_links

BROKEN = "SELECT %s::text AS name, nothing FROM pg_catalog.pg_class"
BROKEN_ONCE = BROKEN.replace("%s", "'x'")
NO_QUEUE = "SELECT nothing FROM pg_catalog.pg_class WHERE %(pid)s IS NULL"
SIGNALS = {
    "waiters": (waiters, "_QUEUE", BROKEN, "who waits for vex_raw"),
    "standby": (standby, "_STANDBYS", BROKEN_ONCE, "how far standbys are behind"),
    "slot": (slot, "_SLOTS", BROKEN_ONCE, "how far replication slots are behind"),
    "snapshot": (old_transactions, "_PREPARED", BROKEN_ONCE, "who holds old snapshots"),
}


@pytest.fixture
def ready(excititor: Database, aoc: Aoc, allowed: dict[str, str]) -> Database:
    """An excititor with 400 rows without links, one step before the backfill, which is allowed."""
    return make_ready(excititor, aoc, allowed)


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_unreadable_signal_is_reported_once_and_pauses_nothing(
    signal: str, ready: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal whose query fails is no reason to pause, says so once, and keeps no other from being read."""
    module, name, broken, what = SIGNALS[signal]
    monkeypatch.setattr(throttle, "SECONDS_BETWEEN_EVALUATIONS", 0)
    monkeypatch.setattr(module, name, broken)
    with psycopg.connect(ready.url) as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT pg_sleep(0.2)")

        report = backfill(ready, max_lag_seconds=3600.0, old_snapshot=0.1, snapshot_wait=0.1)
    log = capsys.readouterr().err

    assert report.exit_code == 0
    assert (report.steps[0].batches or 0) > 3
    assert log.count(f"cannot see {what} (column") == log.count("cannot see") == 1
    assert [f.slug for f in report.findings] == ([] if signal == "snapshot" else ["snapshot-held"])
    assert wrong_links(ready) == 0


def test_a_slow_signal_is_reported_once(
    ready: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says once that a query met its timeout, and the work goes on."""
    monkeypatch.setattr(waiters, "_QUEUE", "SELECT %s::text AS name FROM pg_sleep(30)")

    report = backfill(ready)
    log = capsys.readouterr().err

    assert report.exit_code == 0
    assert log.count("cannot see who waits for vex_raw (canceling statement due to statement timeout)") == 1


def test_a_revoked_right_is_reported_once(ready: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a DBA revoked the right to list slots, the backfill says once what it cannot see, and ends well."""
    role = f"unsighted_{ready.connection.info.backend_pid}"
    tables = ("vex_raw", "aoc_migration_state", "aoc_migration_hold", "aoc_alembic_version", "aoc_migration_log")
    ready.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CREATE ON SCHEMA public TO {role};"
        "REVOKE EXECUTE ON FUNCTION pg_get_replication_slots() FROM PUBLIC;"
        + "".join(f"ALTER TABLE {table} OWNER TO {role};" for table in tables)
    )

    report = backfill(ready, url=ready.url_as(role, "p"))
    log = capsys.readouterr().err

    assert report.exit_code == 0
    for what in ("how far replication slots are behind", "who holds old snapshots"):
        assert log.count(f"cannot see {what} (permission denied for function pg_get_replication_slots)") == 1
    assert wrong_links(ready) == 0


def test_an_unreadable_queue_is_reported_once(
    excititor: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second session that watches a step says once what it cannot see, and goes on."""
    monkeypatch.setattr(lock_queue, "_QUEUE", NO_QUEUE)
    pids: list[int] = []
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:

        def observe(other: Session, pid: int) -> None:
            pids.append(other.connection.info.backend_pid)
            Blockers(session).observe(other, pid)
            other.value("SELECT nothing")

        with watched(session, observe, every=0.02):
            time.sleep(0.5)
    log = capsys.readouterr().err

    assert len(pids) > 1
    assert len(set(pids)) == 1
    assert log.count("cannot see who blocks this session, and who waits for it (column") == 1
    assert log.count("cannot see how this step goes on (column") == 1


def test_an_unknown_holder_still_ends_in_deadline(
    ready: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind a locked row the outcome is `deadline`, also where nobody can be named."""
    monkeypatch.setattr(lock_queue, "_HOLDERS", "SELECT nothing FROM pg_catalog.pg_class WHERE %s = %s")
    monkeypatch.setattr(lock_queue, "_QUEUE", NO_QUEUE)
    with psycopg.connect(ready.url) as holder:
        holder.execute("SELECT FROM vex_raw WHERE id = 'r252' FOR UPDATE")

        report = backfill(ready, deadline=2.0)

    assert [f.slug for f in report.findings] == ["deadline"]
    assert report.exit_code == 3
    assert capsys.readouterr().err.count("cannot see who holds locks on vex_raw (column") == 1


def test_a_lost_connection_ends_the_work(
    ready: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal that fails because the connection is gone ends the work: exit 3."""
    monkeypatch.setattr(
        waiters, "_QUEUE", "SELECT %s::text AS name WHERE pg_terminate_backend(pg_backend_pid()) IS NULL"
    )

    report = backfill(ready)

    assert ([f.slug for f in report.findings], report.exit_code) == (["connection-lost"], 3)
    assert "cannot see" not in capsys.readouterr().err
