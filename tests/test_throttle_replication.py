"""The backfill waits for a standby that lags and for an archive that fails, and goes on when they follow again."""

import math
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.archive import Archive
from aoc_migrate.database.throttle.old_snapshot import OldSnapshot
from aoc_migrate.database.throttle.signal import WritingStep
from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc
from tests.faults.pair import Pair, pair
from tests.faults.scenarios import fill
from tests.helpers import wait_until
from tests.servers import running_server

Connection = psycopg.Connection[tuple[Any, ...]]
SMALL = ("upgrade", "excititor_0006", "--batch-rows", "20", "--format", "json")


@pytest.fixture(scope="module")
def primary_and_standby() -> Iterator[Pair]:
    """A primary that archives, with a standby."""
    with running_server() as primary:
        configure(primary.url("postgres"), archive_mode="on", archive_command="true")
        primary.stop()
        primary.start()
        with pair(primary) as servers:
            yield servers


def configure(url: str, **settings: str) -> None:
    """Change settings of a server."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def primary_before_backfill(primary_and_standby: Pair, aoc: Aoc, retrofit: dict[str, str]) -> Iterator[Connection]:
    """A database on the primary, one step before the backfill; the command is configured for it."""
    with psycopg.connect(primary_and_standby.primary.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE excititor")
        with psycopg.connect(primary_and_standby.primary.url("excititor"), autocommit=True) as connection:
            fill(connection, "vex_raw", 400)
            aoc.environment = {"EXCITITOR_DATABASE_URL": primary_and_standby.primary.url("excititor"), **retrofit}
            assert aoc("upgrade", "excititor_0005").exit_code == 0
            yield connection
        admin.execute("DROP DATABASE excititor WITH (FORCE)")


@contextmanager
def replay_paused(both: Pair) -> Iterator[None]:
    """Let the standby receive and not replay."""
    with psycopg.connect(both.standby.url("postgres"), autocommit=True) as standby:
        standby.execute("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        wait_until(lambda: standby.execute(state).fetchone() == ("paused",))
        try:
            yield
        finally:
            standby.execute("SELECT pg_wal_replay_resume()")


@pytest.mark.alike
@pytest.mark.parametrize("lag", ["10kB", "300ms"])
def test_a_lagging_standby_stops_the_backfill(
    lag: str, primary_and_standby: Pair, primary_before_backfill: Connection, aoc: Aoc
) -> None:
    """A standby behind by bytes or seconds is named at the deadline; once it replays, the command succeeds."""
    with replay_paused(primary_and_standby):
        stopped = aoc(*SMALL, "--max-lag", lag, "--pace", "1%", "--deadline", "1s")
        process = aoc.start(*SMALL, "--max-lag", lag, "--pace", "1%")
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("pausing because standby " in line for line in lines)
    out, _ = process.communicate(timeout=60)

    (finding,) = [f for f in stopped.report["findings"] if f["severity"] == "error"]
    assert (stopped.exit_code, finding["slug"]) == (3, "deadline")
    assert "It paused because standby " in finding["problem"]
    assert re.search(r"\d s behind" if lag.endswith("s") else r"\d [kM]B behind", finding["problem"])
    assert process.returncode == 0
    assert '"standby": ' in out
    assert primary_before_backfill.execute("SELECT count(*) FROM vex_raw WHERE supersedes IS NULL").fetchone() == (
        81,
    )


def test_a_standby_on_a_quiet_server_holds_nothing_back(
    primary_and_standby: Pair, primary_before_backfill: Connection
) -> None:
    """An id that a standby holds counts only once younger ids exist: while nothing is written, it cannot move."""
    configure(
        primary_and_standby.standby.url("postgres"), hot_standby_feedback="on", wal_receiver_status_interval="1s"
    )
    target = Target("excititor", primary_and_standby.primary.url("excititor"))
    reported = "SELECT count(*) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL"
    try:
        with (
            connect(target, "test", Limits(), Flags()) as session,
            psycopg.connect(primary_and_standby.standby.url("excititor")) as reader,
        ):
            wait_until(lambda: primary_before_backfill.execute(reported).fetchone() == (1,))
            signal = OldSnapshot(WritingStep(session, "link rows", "vex_raw", math.inf))
            wait_until(lambda: not signal.horizons())
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT 1")
            primary_before_backfill.execute("SELECT pg_current_xact_id()")
            wait_until(lambda: bool(signal.horizons()))
    finally:
        configure(primary_and_standby.standby.url("postgres"), hot_standby_feedback="off")


def test_a_receiver_that_follows_stops_nothing(
    primary_and_standby: Pair, primary_before_backfill: Connection, aoc: Aoc, tmp_path: Path
) -> None:
    """pg_receivewal keeps the WAL and replays none: as long as it follows, nobody waits for it by the clock."""
    receiver = subprocess.Popen(
        [
            str(find_binaries() / "pg_receivewal"),
            "-s",
            "1",
            "-D",
            str(tmp_path),
            "-d",
            primary_and_standby.primary.url("postgres"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        there = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal'"
        wait_until(lambda: primary_before_backfill.execute(there).fetchone() == (1,))
        ran = aoc(*SMALL, "--max-lag", "300ms", "--pace", "1%", "--deadline", "3s")
    finally:
        receiver.terminate()
        receiver.wait()

    assert ran.exit_code == 0, ran.err


def test_failing_archiving_stops_the_backfill(
    primary_and_standby: Pair, primary_before_backfill: Connection, aoc: Aoc
) -> None:
    """While archiving fails the backfill pauses; at the deadline the report says so, and later it goes on."""
    failing = "SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver"
    configure(primary_and_standby.primary.url("postgres"), archive_command="false")
    try:
        primary_before_backfill.execute("SELECT pg_switch_wal()")
        wait_until(lambda: primary_before_backfill.execute(failing).fetchone() == (True,))
        stopped = aoc(*SMALL, "--deadline", "1s")
    finally:
        configure(primary_and_standby.primary.url("postgres"), archive_command="true")
    primary_before_backfill.execute("SELECT pg_switch_wal()")
    wait_until(lambda: primary_before_backfill.execute(failing).fetchone() == (False,), seconds=70)
    gone_on = aoc(*SMALL)

    (finding,) = [f for f in stopped.report["findings"] if f["severity"] == "error"]
    assert (stopped.exit_code, finding["slug"]) == (3, "deadline")
    assert "the WAL archive fails" in finding["problem"]
    assert gone_on.exit_code == 0


def test_a_complete_archive_is_not_behind(primary_and_standby: Pair, primary_before_backfill: Connection) -> None:
    """The name of the last archived segment shows the lag, which ends with the last finished segment."""
    archived = "SELECT last_archived_wal = %s FROM pg_stat_archiver"
    (segment,) = primary_before_backfill.execute(
        "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
    ).fetchone() or ("",)
    primary_before_backfill.execute("SELECT pg_switch_wal()")
    wait_until(lambda: primary_before_backfill.execute(archived, [segment]).fetchone() == (True,))

    with connect(
        Target("excititor", primary_and_standby.primary.url("excititor")), "test", Limits(), Flags()
    ) as session:
        (row,) = Archive(WritingStep(session, "link rows", "vex_raw", math.inf)).state()

    assert row["bytes"] == 0


def test_an_archive_that_is_behind_pauses_the_backfill(
    primary_and_standby: Pair, primary_before_backfill: Connection, tmp_path: Path
) -> None:
    """While archiving works but is slow, finished segments that are not archived yet are what it is behind."""
    switched, busy, done = ("SELECT pg_switch_wal()", tmp_path / "busy", tmp_path / "done")
    archived = "SELECT last_archived_time > %s FROM pg_stat_archiver"
    url = primary_and_standby.primary.url("excititor")
    tmp_path.chmod(0o777)
    (now,) = primary_before_backfill.execute("SELECT now()").fetchone() or (None,)
    primary_before_backfill.execute(switched)
    wait_until(lambda: primary_before_backfill.execute(archived, [now]).fetchone() == (True,))
    configure(url, archive_command=f"touch {busy}; until test -e {done}; do sleep 0.1; done")
    try:
        primary_before_backfill.execute("CREATE TABLE written AS SELECT 1 AS one")
        primary_before_backfill.execute(switched)
        wait_until(busy.exists)
        limits = Limits(max_lag_bytes=2**20)
        with connect(Target("excititor", url), "test", limits, Flags()) as session:
            reason = Archive(WritingStep(session, "link rows", "vex_raw", math.inf)).reason()
    finally:
        done.touch()
        configure(url, archive_command="true")

    assert reason == "the WAL archive is 16 MB behind"
