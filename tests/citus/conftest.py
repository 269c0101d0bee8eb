"""Databases on a real Citus cluster; without one, every test of this folder is skipped with the reason."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from tests.citus.clusters import SHAPES, Cluster, given_cluster, prepared
from tests.conftest import Aoc, Database


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that the environment names."""
    return given_cluster()


@pytest.fixture
def cluster_database(cluster: Cluster) -> Iterator[str]:
    """The name of a new database on all nodes."""
    name = f"aoc_{os.environ.get('PYTEST_XDIST_WORKER', 'test')}"
    cluster.drop(name)
    cluster.create(name)
    yield name
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
