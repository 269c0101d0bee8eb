"""An instant on a cluster: it waits for a VACUUM of a shard under the weak lock, and resets no option."""

import time

from aoc_migrate.database.spread.cluster_instant import cluster_instant
from tests.citus.clusters import Cluster
from tests.citus.test_citus_blockers import on_a_worker, session_on
from tests.conftest import Aoc, Database


def test_who_maintains_a_shard_keeps_no_writer_waiting(distributed: Database, cluster: Cluster, aoc: Aoc) -> None:
    """While a shard is vacuumed, we wait without a lock that a writer would wait for, and then go on."""
    distributed.run("SET statement_timeout = '1s'")
    with on_a_worker(cluster, distributed) as (holder, shard):
        holder.execute("SET citus.enable_manual_changes_to_shards TO on")
        holder.execute(f"LOCK TABLE {shard} IN SHARE UPDATE EXCLUSIVE MODE".encode())  # as VACUUM does
        upgrade = aoc.start("upgrade", "concelier", "concelier_0002", "--max-stall", "5s", "--deadline", "60s")
        assert upgrade.stderr
        next(line for line in upgrade.stderr if f"waiting for pid {holder.info.backend_pid}" in line)
        stored, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            distributed.add(f"row-{stored}", tenant=f"tenant-{stored % 9}", upstream_id=f"CVE-{stored}")
            stored += 1
        waiting = upgrade.poll() is None
        holder.rollback()
    out, err = upgrade.communicate(timeout=60)

    assert (waiting, upgrade.returncode) == (True, 0), (out, err)
    assert distributed.value("SELECT count(*) FROM advisory_raw") == stored


def test_options_of_the_table_stay(distributed: Database, aoc: Aoc) -> None:
    """The statement that locks the shards resets no option that the table has."""
    options = ["log_autovacuum_min_duration=5000", "parallel_workers=2", "toast_tuple_target=512"]
    distributed.run(f"ALTER TABLE advisory_raw SET ({', '.join(options)})")

    assert aoc("upgrade", "concelier", "concelier_0002").exit_code == 0
    found = "SELECT reloptions FROM pg_class WHERE oid = 'advisory_raw'::regclass"
    assert sorted(distributed.value(found)) == options
    distributed.run("ALTER TABLE advisory_raw RESET (parallel_workers)")
    assert aoc("downgrade", "concelier", "base").exit_code == 0
    assert sorted(distributed.value(found)) == [options[0], options[2]]


def test_one_statement_locks_all_shards_weakly(distributed: Database) -> None:
    """One statement locks the shards of a table: it resets the first option that is not set."""
    distributed.run("ALTER TABLE advisory_raw SET (log_autovacuum_min_duration = 5000)")
    with session_on(distributed) as session:
        found = cluster_instant(session, session.schema["advisory_raw"])

    assert found is not None
    assert found.weak_locks == ("ALTER TABLE public.advisory_raw RESET (toast_tuple_target)",)
