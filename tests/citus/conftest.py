"""Databases on a real Citus cluster; without one, every test of this folder is skipped with the reason."""

import os
from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.citus.clusters import SHAPES, Cluster, given_cluster, prepared
from tests.citus.lab import ClusterLab
from tests.citus.workers import Worker, given_workers, start_all
from tests.conftest import Aoc, Database


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that the environment names."""
    return given_cluster()


@pytest.fixture(scope="session")
def lab(cluster: Cluster) -> Iterator[ClusterLab]:
    """A lab whose undisturbed runs are made once; the test keeps the cluster in use, or has it alone."""
    made = ClusterLab(make_conninfo(cluster.coordinator), cluster=cluster)
    yield made
    made.drop()


@pytest.fixture
def stoppable(cluster: Cluster) -> Iterator[list[Worker]]:
    """The workers as servers that a test may stop: that test has the cluster for itself, and finds all running."""
    with cluster.used(alone=True):
        workers = given_workers(cluster)
        yield workers
        start_all(workers)


@pytest.fixture
def cluster_database(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new database on all nodes."""
    name = f"aoc_{os.environ.get('PYTEST_XDIST_WORKER', 'test')}"
    workers = request.getfixturevalue("stoppable") if "stoppable" in request.fixturenames else []
    with nullcontext() if workers else cluster.used():
        cluster.drop(name)
        cluster.create(name)
        yield name
        start_all(workers)
        cluster.drop(name)


@pytest.fixture(params=SHAPES)
def shaped(
    request: pytest.FixtureRequest, cluster: Cluster, cluster_database: str, aoc: Aoc
) -> Iterator[Database]:
    """Concelier's database with the raw table in each shape, configured."""
    yield from _configured(cluster, cluster_database, aoc, "concelier", request.param)


@pytest.fixture
def distributed(cluster: Cluster, cluster_database: str, aoc: Aoc) -> Iterator[Database]:
    """Concelier's database with the raw table distributed by tenant, configured."""
    yield from _configured(cluster, cluster_database, aoc, "concelier", "distributed")


@pytest.fixture
def distributed_vex(cluster: Cluster, cluster_database: str, aoc: Aoc) -> Iterator[Database]:
    """Excititor's database with the raw table distributed by tenant, configured."""
    yield from _configured(cluster, cluster_database, aoc, "excititor", "distributed")


def _configured(cluster: Cluster, name: str, aoc: Aoc, target: str, shape: str) -> Iterator[Database]:
    with psycopg.connect(cluster.url(0, name), autocommit=True) as connection:
        database = prepared(connection, target, shape)
        aoc.configure(database)
        yield database
