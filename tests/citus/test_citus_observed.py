"""What is seen of all nodes of a Citus cluster: sizes, writes, and what else is active there."""

import math
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.catalog import rows_estimated
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.place import read_place
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.old_snapshot import OldSnapshot
from aoc_migrate.database.throttle.signal import Normal, Stop, WritingStep
from aoc_migrate.database.throttle.slot import Slot
from aoc_migrate.database.throttle.standby import Standby
from aoc_migrate.inspect.cost import measure
from aoc_migrate.inspect.index_room import index_room
from aoc_migrate.inspect.table_size import table_size
from aoc_migrate.sandbox.server import find_binaries
from tests.citus.clusters import Cluster
from tests.citus.test_citus_blockers import on_a_worker, session_on
from tests.conftest import Aoc, Database
from tests.helpers import wait_until, writing

ROWS = 6000
FILL = f"""
INSERT INTO advisory_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream,
  linkset)
SELECT 'r' || n, 't' || n % 9, (ARRAY['osv', 'redhat'])[n % 2 + 1], 'CVE-' || n, 'sha256:' || n,
  '2025-01-01'::timestamptz + n * interval '1 second', '{{}}', '{{}}', '{{}}'
FROM generate_series(1, {ROWS}) AS n"""


def test_sizes_and_estimates_are_those_of_the_shards(shaped: Database, aoc: Aoc) -> None:
    """Rows, bytes and estimates of each shape are those of its shards, each counted once."""
    shaped.run(FILL)
    shaped.run("ANALYZE advisory_raw")

    with session_on(shaped) as session:
        size = table_size(session, "advisory_raw")
        costs = measure(session, ADVISORY_RAW, links=False)
        assert costs is not None
        room = index_room(session, ADVISORY_RAW, size, ROWS, costs.entry_bytes)
        rows = rows_estimated(session, "advisory_raw")
    status = aoc.json("status", "concelier").report["facts"]

    assert (size.rows, rows) == (ROWS, ROWS)
    assert ROWS * 100 < size.main_bytes < ROWS * 400
    assert size.main_bytes <= size.whole_bytes < size.total_bytes
    assert ROWS / 2 < costs.rows < ROWS * 2
    assert ROWS * 50 < room < ROWS * 400
    assert (status["rows_estimated"], status["table_bytes"]) == (ROWS, size.main_bytes)


def test_writers_of_a_distributed_advisory_are_noticed(distributed: Database, aoc: Aoc) -> None:
    """The audit notices writes to a legacy table whose rows are on workers."""
    distributed.run("SELECT create_distributed_table('advisory', 'id')")
    counted = "SELECT n_tup_upd > 0 FROM pg_stat_user_tables WHERE relid = '%s'::regclass"
    shards = f"SELECT count(*) FROM run_command_on_shards('advisory', $${counted}$$) WHERE result = 't'"
    with writing(distributed, "UPDATE advisory SET title = title"):
        wait_until(lambda: distributed.value(shards) > 0)
        ran = aoc.json("audit", "concelier")

    assert "advisory-still-written" in ran.slugs("warning")


@pytest.fixture
def other_worker(distributed: Database, cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the second worker, for what a test leaves there."""
    url = cluster.url(2, distributed.connection.info.dbname)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_the_audit_sees_the_activity_of_workers(
    distributed: Database, cluster: Cluster, other_worker: psycopg.Connection[Any], aoc: Aoc
) -> None:
    """An old transaction, a prepared one and an idle slot of a worker are reported with the worker's address."""
    at = f"{other_worker.info.host}:{other_worker.info.port}"
    other_worker.execute("SELECT pg_create_physical_replication_slot('idle_one', true)")
    other_worker.execute("BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'theirs'")
    try:
        with on_a_worker(cluster, distributed) as (holder, _):
            pid = holder.info.backend_pid
            holder.execute("SELECT txid_current()")
            with session_on(distributed) as session:
                seen = OldSnapshot(WritingStep(session, "link rows", "advisory_raw", math.inf))
                session.limits = replace(session.limits, old_snapshot=0.0)
                verdict = seen.evaluate()
            ran = aoc.json("audit", "concelier")
    finally:
        other_worker.execute("ROLLBACK PREPARED 'theirs'")
        other_worker.execute("SELECT pg_drop_replication_slot('idle_one')")

    assert isinstance(verdict, Stop)
    assert f"pid {pid} on " in verdict.reason
    assert f"prepared transaction 'theirs' on {at}" in verdict.reason
    assert f"'theirs' of postgres on {at}" in ran.finding("prepared-transaction")["problem"]
    assert f"idle_one on {at} (keeps " in ran.finding("replication-slot")["problem"]


def test_a_standby_behind_a_worker_pauses_the_backfill(
    distributed: Database, other_worker: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """A receiver and a slot that lag behind a worker stop the backfill as those of the coordinator do."""
    at = f"{other_worker.info.host}:{other_worker.info.port}"
    url = f"postgresql://{other_worker.info.user}@{at}/postgres"
    receiver = subprocess.Popen(
        [str(find_binaries() / "pg_receivewal"), "-D", str(tmp_path), "-d", url, "-s", "1", "--synchronous"],
        stderr=subprocess.DEVNULL,
    )
    there = "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn IS NOT NULL"
    other_worker.execute("SELECT pg_create_physical_replication_slot('idle_one', true)")
    try:
        wait_until(lambda: other_worker.execute(there).fetchone() == (1,))
        receiver.send_signal(signal.SIGSTOP)
        other_worker.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))")
        with session_on(distributed) as session:
            session.limits = replace(session.limits, max_lag_bytes=50_000)
            step = WritingStep(session, "link rows", "advisory_raw", math.inf)
            standby, slot = Standby(step).evaluate(), Slot(step).evaluate()
    finally:
        receiver.kill()
        receiver.wait()
        other_worker.execute("SELECT pg_drop_replication_slot('idle_one')")

    assert f"standby 'pg_receivewal' on {at} is " in str(standby)
    assert f"slot 'idle_one' on {at} is " in str(slot)
    assert {type(standby), type(slot)} == {Stop}


def test_a_role_that_may_not_ask_nodes_goes_on(
    distributed: Database, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the right to ask other nodes, a session sees its own server, and the log says what it misses."""
    distributed.run(FILL)
    distributed.run("REVOKE EXECUTE ON FUNCTION run_command_on_all_nodes FROM PUBLIC")
    distributed.run("DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN; GRANT SELECT ON advisory_raw TO modest")
    try:
        url = distributed.url.replace("postgres@", "modest@")
        with connect(Target("concelier", url), "test", Limits(), Flags()) as session:
            read_place(session)
            size = table_size(session, "advisory_raw")
            verdict = Standby(WritingStep(session, "link rows", "advisory_raw", math.inf)).evaluate()
    finally:
        distributed.run("DROP OWNED BY modest; DROP ROLE modest")

    assert (size.main_bytes, verdict) == (0, Normal())
    said = capsys.readouterr().err
    assert said.count("this role may not execute run_command_on_all_nodes") == 2
    assert "cannot see how large advisory_raw is, on other nodes" in said
