"""The lab of the fault tests, on a cluster: databases on all nodes, and what a command leaves on each of them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from aoc_migrate.sandbox.databases import RAW_TABLES
from tests.citus.clusters import Cluster, prepared
from tests.faults.lab import Lab
from tests.faults.outcome import outcome
from tests.faults.scenarios import WRONG_LINKS, Scenario
from tests.fingerprint import fingerprint

_ROWS = f"""INSERT INTO {{table}} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source,
  upstream, linkset, content, created_at, supersedes) SELECT 'r' || n, 'tenant ' || n / 5 % 3, 'osv',
  'CVE-' || n / 5, 'sha256:' || n, timestamptz '2025-01-01' + n * interval '1 second', '{{{{}}}}', '{{{{}}}}',
  '{{{{}}}}', '{{{{"raw": {{{{}}}}}}}}', '2025-01-01', {WRONG_LINKS} FROM generate_series(1, {{rows}}) AS n"""
"""The rows of `tests.faults.scenarios.fill`, of three tenants."""


@dataclass
class ClusterLab(Lab):
    """Breaks commands on a cluster, whose raw tables are distributed by tenant (or ``parted`` as well)."""

    cluster: Cluster = field(kw_only=True)

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Create a database on all nodes; the shards of a copy have the names that they have in the template."""
        name = f"lab_{os.getpid()}"
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: _copy(node, template, name), self.cluster.nodes))
        try:
            yield name
        finally:
            self.cluster.drop(name)

    def create(self, database: str, scenario: Scenario) -> None:
        """Create a database with the tables and rows of a scenario on all nodes."""
        self.cluster.create(database)
        with psycopg.connect(self.cluster.url(0, database)) as connection:
            prepared(connection, scenario.target, "partitioned" if scenario.parted else "distributed")
            connection.execute(_ROWS.format(table=RAW_TABLES[scenario.target], rows=scenario.rows).encode())

    def outcome(self, database: str) -> list[str]:
        """Return all that a command has left on the coordinator, and the catalog of each worker."""
        with self.cluster.connected(database) as (coordinator, *workers):
            coordinator.execute("SET jit = off")  # it takes seconds for the catalogs of many shards
            lines = outcome(coordinator)
            for n, worker in enumerate(workers, 1):
                worker.execute("SET jit = off; SET citus.override_table_visibility TO off")  # else it hides shards
                lines += [f"worker {n}: {line}" for line in fingerprint(worker, without="^$")]
        return lines

    def drop(self) -> None:
        """Drop the templates."""
        for undisturbed in self.known.values():
            self.cluster.drop(undisturbed.template)


def _copy(node: str, template: str, name: str) -> None:
    """Copy a database on one node, after the sessions that Citus keeps in it have ended."""
    with psycopg.connect(node, autocommit=True) as connection:
        known = sql.Identifier(template)
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(known))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [template]
        )
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), known))
