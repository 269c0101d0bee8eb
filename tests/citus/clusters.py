"""A Citus cluster that a person runs for the tests: its nodes, and databases on all of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aoc_migrate.sandbox.databases import LEGACY_ADVISORY_SQL, LEGACY_ROLES, RAW_TABLES
from tests.conftest import Database

URL, WORKERS = "AOC_TEST_CITUS_URL", "AOC_TEST_CITUS_WORKERS"
ROLES = "roles"  # Citus copies them to the workers for each new node and table, and two at once fail
SHAPES = ("distributed", "partitioned", "reference", "local")
RAW_TABLE = """CREATE TABLE {table} (id text NOT NULL, tenant text, source_vendor text, upstream_id text,
  content_hash text, retrieved_at timestamptz, source jsonb, upstream jsonb, linkset jsonb, content jsonb,
  identifiers jsonb, created_at timestamptz DEFAULT now(), supersedes text, PRIMARY KEY ({key})) {partitioned}"""
VENDORS = ("osv", "redhat")


@dataclass(frozen=True)
class Cluster:
    """The coordinator's URL, and that of each worker, for a superuser who may connect to all of them."""

    coordinator: str
    workers: tuple[str, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The URLs of all nodes, the coordinator's first."""
        return (self.coordinator, *self.workers)

    def url(self, node: int, database: str) -> str:
        """Return the URL of a database on a node: 0 is the coordinator."""
        return make_conninfo(self.nodes[node], dbname=database)

    @contextmanager
    def connected(self, database: str) -> Iterator[list[psycopg.Connection[Any]]]:
        """Connect to a database on all nodes, in autocommit."""
        with ExitStack() as stack:
            urls = [self.url(node, database) for node in range(len(self.nodes))]
            yield [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in urls]

    def create(self, database: str) -> None:
        """Create a database with Citus on all nodes, and join them."""
        self._on_all("CREATE DATABASE {}", database)
        with self.connected(database) as nodes:
            for node in nodes:
                node.execute("CREATE EXTENSION citus")
            host, *others = [(str(c["host"]), int(str(c["port"]))) for c in map(conninfo_to_dict, self.nodes)]
            nodes[0].execute("SELECT citus_set_coordinator_host(%s, %s)", host)
            with _locked(self.coordinator, ROLES):
                for other in others:
                    nodes[0].execute("SELECT citus_add_node(%s, %s)", other)

    def drop(self, database: str) -> None:
        """Drop a database on all nodes."""
        self._on_all("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    @contextmanager
    def used(self, *, alone: bool = False) -> Iterator[None]:
        """Let no other test use the cluster ``alone`` in the block, or, for a test that is, any other use it."""
        with _locked(self.coordinator, "tests", "" if alone else "_shared"):
            yield

    def _on_all(self, statement: str, database: str) -> None:
        for node in self.nodes:
            with psycopg.connect(node, autocommit=True) as connection:
                connection.execute(sql.SQL(statement).format(sql.Identifier(database)))


@contextmanager
def _locked(coordinator: str, what: str, shared: str = "") -> Iterator[None]:
    """Hold a lock of the coordinator, which holds for all workers of pytest-xdist, and ends with its holder."""
    with psycopg.connect(coordinator, autocommit=True) as connection:
        connection.execute(f"SELECT pg_advisory_lock{shared}(hashtext('aoc-migrate {what}'))".encode())
        yield


def given_cluster() -> Cluster:
    """Return the cluster that the environment names, or skip the test with the reason."""
    url = os.environ.get(URL)
    if not url:
        pytest.skip(f"no Citus cluster: set {URL} to the URL of a coordinator, for a superuser")
    with psycopg.connect(url) as connection:
        nodes = connection.execute(
            "SELECT nodename, nodeport FROM pg_dist_node "
            "WHERE groupid <> 0 AND noderole = 'primary' ORDER BY nodeid"
        ).fetchall()
        info = connection.info
        known = make_conninfo(url, host=info.host, port=info.port)
    return Cluster(known, tuple(make_conninfo(known, host=host, port=port) for host, port in nodes))


def prepared(connection: psycopg.Connection[Any], target: str, shape: str) -> Database:
    """Create a target's tables before the contract in a new database, the raw table in a shape of `SHAPES`."""
    connection.autocommit = True
    database = Database(connection, RAW_TABLES[target], target)
    if target == "concelier":
        for role in LEGACY_ROLES:
            if not database.value("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)):
                database.run(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        database.run(LEGACY_ADVISORY_SQL)
    create_raw_table(database, shape)
    return database


def create_raw_table(database: Database, shape: str) -> None:
    """Create the raw table, and make it what the shape says."""
    key = {"distributed": "tenant, id", "partitioned": "tenant, id, source_vendor"}.get(shape, "id")
    partitioned = "PARTITION BY LIST (source_vendor)" if shape == "partitioned" else ""
    table = database.table
    database.run(RAW_TABLE.format(table=table, key=key, partitioned=partitioned))
    for vendor in VENDORS if partitioned else ():
        database.run(f"CREATE TABLE {table}_{vendor} PARTITION OF {table} FOR VALUES IN ('{vendor}')")
    if partitioned:
        database.run(f"CREATE TABLE {table}_others PARTITION OF {table} DEFAULT")
    make = {"reference": "create_reference_table(%s)", "local": "citus_add_local_table_to_metadata(%s)"}
    with _locked(os.environ[URL], ROLES):
        database.run(f"SELECT {make.get(shape, 'create_distributed_table(%s, $$tenant$$)')}", (table,))
