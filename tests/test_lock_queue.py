"""The queries for waiters and blockers wait for no lock themselves, and need no extra rights."""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.batches import Batches
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.lock_queue import lock_queue
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Parameters, Row, Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.old_snapshot import OldSnapshot
from aoc_migrate.database.throttle.signal import WritingStep
from aoc_migrate.database.throttle.throttle import Throttle
from aoc_migrate.database.throttle.waiters import Waiters
from aoc_migrate.database.watcher import watched
from aoc_migrate.operations.supersedes import backfill
from aoc_migrate.operations.supersedes.backfill import relink
from tests.conftest import Aoc, Database
from tests.helpers import PINNED, wait_until
from tests.partitions import partition

ALL = Flags(allow_supersedes_retrofit=True)


def test_a_locked_partition_is_named(excititor: Database) -> None:
    """Sessions that hold a partition, and that wait for one, are seen while nobody else can reach it."""
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
        blockers = Blockers(session)

        try:
            blockers.find_holders(session, session.schema["vex_raw"])
            waiting = Waiters(WritingStep(session, "link rows", "vex_raw", math.inf)).queue()
        finally:
            holder.rollback()
            waiter.join()

    assert [row["pid"] for row in blockers.ahead] == [pids[0]]
    assert waiting == [f"pid {pids[1]}"]


@dataclass
class Counting(Session):
    """A session that keeps each statement that it runs."""

    asked: list[str] = field(default_factory=list)

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Keep the statement, and run it."""
        self.asked.append(sql)
        return super().rows(sql, parameters)


def test_one_query_finds_both_ends_of_the_queue(excititor: Database) -> None:
    """The blockers of a batch and the sessions that the throttle makes way for come from one query."""
    target = Target("excititor", excititor.url)
    with (
        connect(target, "test", Limits(), Flags()) as session,
        connect(target, "watch", Limits(), Flags()) as watch,
        psycopg.connect(excititor.url) as holder,
        psycopg.connect(excititor.url, autocommit=True) as reader,
    ):
        running = Batches(session, "link rows", "vex_raw", 1.0, ())
        counting = Counting(target, watch.connection, "watch")
        pid, blocker = session.connection.info.backend_pid, holder.info.backend_pid
        holder.execute("SELECT FROM vex_raw")
        statement = "LOCK TABLE public.vex_raw IN ACCESS EXCLUSIVE MODE"
        ours = threading.Thread(target=lambda: session.run(f"BEGIN; {statement}; COMMIT"))
        ours.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: excititor.value(waiting) == 1)
        behind = threading.Thread(target=lambda: reader.execute("SELECT FROM vex_raw"))
        behind.start()
        wait_until(lambda: excititor.value(waiting) == 2)

        running.observe(counting, pid)
        holder.rollback()
        ours.join()
        behind.join()

    assert [row["pid"] for row in running.blockers.ahead] == [blocker]
    assert (running.blockers.behind, running.throttle.step.waiting) == (1, 1)
    assert len(counting.asked) == 1
    assert counting.asked[0].count("pg_blocking_pids") == 1


@pytest.fixture
def plain_role_url(excititor: Database) -> Iterator[str]:
    """The URL of a role that may see nobody else's sessions."""
    role = f"looks_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    yield excititor.url_as(role, "p")
    excititor.run(f"DROP ROLE {role}")


def test_waiters_of_other_roles_are_seen(plain_role_url: str, excititor: Database) -> None:
    """Sessions that wait for us are counted without pg_read_all_stats, whichever their role."""
    excititor.add("1")
    with (
        connect(Target("excititor", plain_role_url), "test", Limits(), Flags()) as watch,
        psycopg.connect(excititor.url) as holder,
        psycopg.connect(excititor.url, autocommit=True) as other,
    ):
        holder.execute("SELECT FROM vex_raw WHERE id = '1' FOR UPDATE")
        waiter = threading.Thread(target=lambda: other.execute("DELETE FROM vex_raw WHERE id = '1'"))
        waiter.start()
        try:
            wait_until(lambda: lock_queue(watch, holder.info.backend_pid).behind == 1, seconds=5)
        finally:
            holder.rollback()
            waiter.join()


def test_a_slow_row_is_not_reported_as_a_lock(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """If one row alone takes more than a second, the report says so and asks to end nobody."""
    for n in range(2):
        excititor.add(f"r{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    excititor.run(
        f"CREATE FUNCTION naps() {PINNED} 'BEGIN PERFORM pg_sleep(2); RETURN NEW; END';"
        "CREATE TRIGGER naps BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION naps()"
    )

    words = ("--accept", "update-trigger:naps", "--batch-rows", "1", "--deadline", "1s")
    ran = aoc.json("upgrade", "excititor_0006", *words, **retrofit)

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"])
    assert "one row alone takes longer than 1 s" in ran.finding("deadline")["problem"]
    assert "triggers" in ran.finding("deadline")["help"]
    assert "pg_terminate_backend" not in ran.finding("deadline")["help"]


def test_a_pause_for_row_waiters_begins_with_the_next_batch(excititor: Database, aoc: Aoc) -> None:
    """A pause for those who wait for our rows begins with the next batch, not with the next evaluation."""
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        throttle = Throttle(session, "link rows", "vex_raw")
        throttle.wait()
        throttle.step.waiting = 1
        throttle.wait()

    assert list(throttle.seconds) == ["lock"]


def test_standbys_of_one_name_are_kept_apart(excititor: Database) -> None:
    """Two standbys with the same name and different marks do not count as one that moves."""
    with connect(Target("excititor", excititor.url), "test", Limits(old_snapshot=0.01), Flags()) as session:
        signal = OldSnapshot(WritingStep(session, "link rows", "vex_raw", math.inf))
        rows = [{"name": "standby 'walreceiver'", "pid": pid, "mark": str(pid)} for pid in (1, 2)]
        first = [signal.is_old(row) for row in rows]
        time.sleep(0.05)
        second = [signal.is_old(row) for row in rows]

    assert (first, second) == ([False, False], [True, True])


def test_a_terminated_watcher_is_replaced(excititor: Database) -> None:
    """If somebody terminates the session that watches a step, another one takes over."""
    pids = set[int]()
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:

        def observe(other: Session, _: int) -> None:
            pids.add(other.value("SELECT pg_backend_pid()"))

        with watched(session, observe, every=0.02):
            wait_until(lambda: len(pids) == 1)
            excititor.run("SELECT pg_terminate_backend(%s)", [next(iter(pids))])
            wait_until(lambda: len(pids) == 2)


@pytest.mark.parametrize("returned", ["NULL", "OLD"])
def test_updates_without_effect_come_to_an_end(
    returned: str,
    excititor: Database,
    aoc: Aoc,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If a trigger prevents or undoes links, the backfill says so and ends: its scans are counted either way."""
    monkeypatch.setattr(backfill, "FOUND", 2)
    for n in range(5):
        excititor.add(f"r{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0005").exit_code == 0
    excititor.run(
        f"CREATE FUNCTION stays() {PINNED} 'BEGIN RETURN {returned}; END';"
        "CREATE TRIGGER stays BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION stays()"
    )

    def scans(deadline: float) -> int:
        limits = Limits(deadline=deadline)
        with connect(Target("excititor", excititor.url), "test", limits, ALL) as session, runner_lock(session):
            relink(session, VEX_RAW, "excititor_0006")
        log = capsys.readouterr().err
        assert "rows with wrong links keep coming" in log
        return log.count("looking for wrong links …")

    few, many = scans(deadline=0.001), scans(deadline=600.0)
    assert few < many if returned == "NULL" else few == many < 2 * backfill.MOST_SCANS + backfill.LEAST_SCANS
