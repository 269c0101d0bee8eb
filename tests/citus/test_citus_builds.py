"""Index builds on the shards of a Citus cluster: watched, bounded while they wait, found if they are not whole."""

import threading
from dataclasses import replace

import psycopg
import pytest

from aoc_migrate.contract.model import Part
from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.spread.builds import building, building_on_shards, index_builds
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.catalog_state import verify_catalog
from aoc_migrate.operations.build import build
from aoc_migrate.operations.index_steps import build as step_for
from aoc_migrate.operations.leftovers import wait_for_build
from aoc_migrate.report.model import Finding
from tests.citus.clusters import Cluster
from tests.citus.test_citus_blockers import on_a_worker, session_on
from tests.conftest import Database
from tests.helpers import wait_until

INDEX = ADVISORY_RAW.idempotency_index()
CREATE = f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX.name} ON public.advisory_raw ({', '.join(INDEX.columns)})"


def test_a_build_that_waits_on_a_worker_is_bounded(distributed: Database, cluster: Cluster) -> None:
    """A build that waits on a worker for longer than the deadline is cancelled, and whom it waits for is named."""
    with session_on(distributed) as session, on_a_worker(cluster, distributed) as (holder, shard):
        session.limits = replace(session.limits, deadline=1.0)
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute(f"SELECT FROM {shard}".encode())
        step = step_for(session.raw, session.schema[INDEX.name], INDEX)

        with pytest.raises(Abort) as stopped:
            build(session, step)
        holder.rollback()

        assert stopped.value.finding.slug == "deadline"
        assert f"pid {holder.info.backend_pid} on " in stopped.value.finding.problem
        session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {session.schema[INDEX.name]}")
        build(session, step)
    assert distributed.value("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", (INDEX.name,))


def test_a_build_on_shards_is_seen(distributed: Database, cluster: Cluster) -> None:
    """The build of another session is shown with its pid and progress, and nobody drops its index meanwhile."""
    with (
        session_on(distributed) as session,
        on_a_worker(cluster, distributed) as (holder, shard),
        psycopg.connect(distributed.url, autocommit=True) as builder,
    ):
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute(f"SELECT FROM {shard}".encode())
        thread = threading.Thread(target=lambda: builder.execute(CREATE.encode()))
        thread.start()
        pid = builder.info.backend_pid
        try:
            wait_until(lambda: building(session, "advisory_raw", [INDEX.name]) == {INDEX.name: pid})
            wait_until(lambda: "waiting for old snapshots" in str(index_builds(session, [pid]).values()))
            assert building_on_shards(session, session.raw)
            with pytest.raises(Abort) as stopped:
                wait_for_build(session, session.raw, session.schema[INDEX.name], seconds=1.0)
        finally:
            holder.rollback()
            thread.join()

    assert "could be neither built nor dropped" in stopped.value.finding.problem


BREAK = {
    "invalid": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{part}'::regclass",
    "gone": "DROP INDEX {part}",
}
PART = f"""
SELECT shard_name('{INDEX.name}'::regclass, shardid) FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
JOIN pg_dist_node USING (groupid) WHERE logicalrelid = 'advisory_raw'::regclass AND nodeport = %s"""


@pytest.mark.parametrize("how", BREAK)
def test_an_index_that_shards_lack_is_found(how: str, distributed: Database, cluster: Cluster) -> None:
    """Under a valid index of the coordinator, a part that is INVALID or gone is found; the help repairs it."""

    def found() -> list[Finding]:
        return verify_catalog(session, ADVISORY_RAW, {Part.IDEMPOTENCY}, None, swapped=False)

    distributed.run(CREATE)
    url = cluster.url(1, distributed.connection.info.dbname)
    with session_on(distributed) as session, psycopg.connect(url, autocommit=True) as worker:
        assert found() == []
        part = distributed.value(PART, (worker.info.port,))
        worker.execute("SET citus.enable_manual_changes_to_shards = on")
        worker.execute(BREAK[how].format(part=part).encode())

        (incomplete,) = found()

        assert incomplete.slug == "incomplete-index"
        distributed.run(incomplete.help.removeprefix("Drop it: ").partition(";")[0])
        distributed.run(CREATE)
        assert found() == []
