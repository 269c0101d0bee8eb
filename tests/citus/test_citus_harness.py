"""The harness of these tests: a worker stops and starts, and whoever stops one has the cluster alone."""

import psycopg
import pytest

from tests.citus.clusters import Cluster
from tests.citus.workers import Worker
from tests.conftest import Database


def test_a_worker_is_stopped_and_started(stoppable: list[Worker], distributed: Database) -> None:
    """Without one of its workers a table cannot be read; started again, the worker brings its shards back."""
    for n in range(8):
        distributed.add(f"{n}", tenant=f"tenant {n}")
    for worker in stoppable:
        port = worker.port
        worker.stop()
        with pytest.raises(psycopg.OperationalError, match=str(port)):
            distributed.value("SELECT count(*) FROM advisory_raw")
        worker.start()

    assert distributed.value("SELECT count(*) FROM advisory_raw") == 8


def test_whoever_stops_workers_has_the_cluster_alone(cluster: Cluster, stoppable: list[Worker]) -> None:
    """While a test may stop workers, no other test of the cluster begins."""
    with psycopg.connect(cluster.coordinator) as other:
        begins = other.execute("SELECT pg_try_advisory_lock_shared(hashtext('aoc-migrate tests'))").fetchone()

    assert begins == (False,)
