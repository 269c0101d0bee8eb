"""Looking at who waits, lags and blocks: it waits for no lock itself, and needs no more rights than there are."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.blockers import Blockers, waiting_for, watched
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.others import queue
from aoc_migrate.database.pauses import Pauses
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.supersedes import backfill
from aoc_migrate.operations.supersedes.backfill import relink
from tests.conftest import Aoc, Database
from tests.helpers import PINNED, wait_until
from tests.partitions import partition

ALL = Flags(allow_supersedes_retrofit=True)


def test_a_locked_partition_is_named(excititor: Database) -> None:
    """Who holds a partition, and who waits for one, is seen while nobody else gets at it."""
    partition(excititor.connection, "vex_raw")
    with (
        connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session,
        psycopg.connect(excititor.url) as holder,
        psycopg.connect(excititor.url, autocommit=True) as other,
    ):
        pids = holder.info.backend_pid, other.info.backend_pid
        holder.execute("LOCK TABLE vex_raw_a IN ACCESS EXCLUSIVE MODE")
        waiter = threading.Thread(target=lambda: other.execute("ALTER TABLE vex_raw_a ADD CHECK (true)"))
        waiter.start()
        wait_until(lambda: excititor.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        session.set("lock_timeout", "100ms")
        stall = Blockers(session)

        try:
            stall.look_back(session, session.schema["vex_raw"])
            waiting = [row["name"] for row in queue(session, session.schema["vex_raw"])]
        finally:
            holder.rollback()
            waiter.join()

    assert [row["pid"] for row in stall.ahead] == [pids[0]]
    assert waiting == [f"pid {pids[1]}"]


@pytest.fixture
def plain(excititor: Database) -> Iterator[str]:
    """The URL of a role that may look at nobody else's sessions."""
    role = f"looks_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    yield excititor.url_as(role, "p")
    excititor.run(f"DROP ROLE {role}")


def test_waiters_of_other_roles_are_seen(plain: str, excititor: Database) -> None:
    """Who waits for us is counted without pg_read_all_stats, whichever role it is."""
    excititor.add("1")
    with (
        connect(Target("excititor", plain), "test", Limits(), Flags()) as watch,
        psycopg.connect(excititor.url) as holder,
        psycopg.connect(excititor.url, autocommit=True) as other,
    ):
        holder.execute("SELECT FROM vex_raw WHERE id = '1' FOR UPDATE")
        waiter = threading.Thread(target=lambda: other.execute("DELETE FROM vex_raw WHERE id = '1'"))
        waiter.start()
        try:
            wait_until(lambda: waiting_for(watch, holder.info.backend_pid) == 1, seconds=5)
        finally:
            holder.rollback()
            waiter.join()


def test_a_row_that_is_too_slow_is_no_lock(excititor: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """Where one row alone takes more than a second, that is said, and nobody is to be ended for it."""
    for n in range(2):
        excititor.add(f"r{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    excititor.run(
        f"CREATE FUNCTION naps() {PINNED} 'BEGIN PERFORM pg_sleep(2); RETURN NEW; END';"
        "CREATE TRIGGER naps BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION naps()"
    )

    words = ("--accept", "update-trigger:naps", "--batch-rows", "1", "--deadline", "1s")
    ran = aoc.json("upgrade", "excititor_0006", *words, **allowed)

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"])
    assert "one row alone takes longer than 1 s" in ran.finding("deadline")["problem"]
    assert "triggers" in ran.finding("deadline")["help"]
    assert "pg_terminate_backend" not in ran.finding("deadline")["help"]


def test_who_waits_for_rows_has_its_turn_at_once(excititor: Database, aoc: Aoc) -> None:
    """A pause for those who wait for our rows begins with the next batch, not with the next look around."""
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        pauses = Pauses(session, "link rows", "vex_raw")
        pauses.hold()
        pauses.waiters = 1
        pauses.hold()

    assert list(pauses.seconds) == ["lock"]


def test_standbys_of_one_name_are_several(excititor: Database) -> None:
    """Two standbys of one name, whose marks differ, are not taken for one that moves."""
    with connect(Target("excititor", excititor.url), "test", Limits(old_snapshot=0.01), Flags()) as session:
        pauses = Pauses(session, "link rows", "vex_raw")
        rows = [{"name": "standby 'walreceiver'", "pid": pid, "mark": str(pid)} for pid in (1, 2)]
        first = [pauses._stands_still(row) for row in rows]
        time.sleep(0.05)
        second = [pauses._stands_still(row) for row in rows]

    assert (first, second) == ([False, False], [True, True])


def test_a_watcher_that_was_ended_comes_back(excititor: Database) -> None:
    """When somebody ends the session that watches a step, another one goes on watching."""
    pids = set[int]()
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:

        def look(other: Session, _: int) -> None:
            pids.add(other.value("SELECT pg_backend_pid()"))

        with watched(session, look, every=0.02):
            wait_until(lambda: len(pids) == 1)
            excititor.run("SELECT pg_terminate_backend(%s)", [next(iter(pids))])
            wait_until(lambda: len(pids) == 2)


@pytest.mark.parametrize(("deadline", "scans"), [(600.0, 20), (0.001, 3)])
def test_updates_that_do_nothing_end(
    deadline: float,
    scans: int,
    excititor: Database,
    aoc: Aoc,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where a trigger keeps links from being written, the backfill says so and ends, sooner if scans are slow."""
    monkeypatch.setattr(backfill, "FOUND", 2)
    for n in range(5):
        excititor.add(f"r{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    excititor.run(
        f"CREATE FUNCTION stays() {PINNED} 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER stays BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION stays()"
    )
    limits = Limits(deadline=deadline)
    with connect(Target("excititor", excititor.url), "test", limits, ALL) as session, runner_lock(session):
        relink(session, VEX_RAW, "excititor_0006")

    told = capsys.readouterr().err
    assert "rows with wrong links keep coming" in told
    assert told.count("looking for wrong links …") == scans
