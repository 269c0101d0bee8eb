"""What a Citus cluster refuses before anything is written: another node, a setting, another distribution."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.citus.clusters import RAW_TABLE, Cluster
from tests.conftest import ROOT, Aoc, Database, Ran

OURS = "SELECT relname FROM pg_class WHERE starts_with(relname, 'aoc_')"
COMMANDS = ("audit", "plan", "upgrade", "verify", "status", "wait", "downgrade concelier base", "chain")


def stock(aoc: Aoc, *words: str) -> Ran:
    """Run stock Alembic on concelier."""
    command = [sys.executable, "-m", "alembic", "-n", "concelier", *words]
    done = subprocess.run(command, env=aoc.env(), cwd=ROOT, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def add_to_url(aoc: Aoc, more: str) -> None:
    """Add parameters to the URL of concelier."""
    aoc.environment["CONCELIER_DATABASE_URL"] += more


@pytest.fixture
def worker(distributed: Database, cluster: Cluster, aoc: Aoc) -> Iterator[psycopg.Connection[tuple[str, ...]]]:
    """Point the URL at a worker; return a connection to it."""
    url = cluster.url(1, distributed.connection.info.dbname)
    with psycopg.connect(url, autocommit=True) as connection:
        info = connection.info
        aoc.environment["CONCELIER_DATABASE_URL"] = (
            f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"
        )
        yield connection


def test_every_command_refuses_a_worker(
    worker: psycopg.Connection[tuple[str, ...]], distributed: Database, aoc: Aoc
) -> None:
    """Through a worker, every command names the coordinator's address and stops; nothing is made there."""
    coordinator = f"{distributed.connection.info.host}:{distributed.connection.info.port}"

    for command in COMMANDS:
        ran = aoc.json(*command.split(), *(["concelier"] if " " not in command else []))
        assert (ran.exit_code, ran.slugs()) == (2, ["citus-worker"]), (command, ran.out, ran.err)
        assert f"Point CONCELIER_DATABASE_URL at the coordinator, {coordinator}." in ran.out
    ran = stock(aoc, "upgrade", "head")

    assert ran.exit_code != 0
    assert f"at the coordinator, {coordinator}." in ran.out
    assert worker.execute(OURS).fetchall() == []


def test_nothing_is_written_without_propagation(distributed: Database, aoc: Aoc) -> None:
    """With citus.enable_ddl_propagation off, commands that write stop, and those that read go on."""
    add_to_url(aoc, "?options=-c%20citus.enable_ddl_propagation%3Doff")

    upgraded, ran = aoc.json("upgrade", "concelier"), stock(aoc, "upgrade", "head")

    assert (upgraded.exit_code, upgraded.slugs("error")) == (2, ["ddl-propagation-off"])
    assert ran.exit_code != 0
    assert "citus.enable_ddl_propagation is off" in ran.out
    assert distributed.rows(OURS) == []
    assert aoc.json("status", "concelier").slugs("warning") == ["ddl-propagation-off"]
    assert aoc.json("audit", "concelier").slugs("error") == []


MAKE = {
    "by another column": "SELECT create_distributed_table('advisory_raw', 'source_vendor')",
    "appended": "SELECT create_distributed_table('advisory_raw', 'tenant', 'append')",
    "in one shard": "SELECT create_distributed_table('advisory_raw', NULL)",
}


def remedied(help_: str) -> list[str]:
    """Return the statements of a finding's help."""
    return [f"SELECT {part.partition(';')[0]}" for part in help_.split("SELECT ")[1:]]


@pytest.mark.parametrize("how", MAKE)
def test_other_distributions_are_refused(
    how: str, cluster: Cluster, cluster_database: str, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A raw table that is not distributed by tenant is refused before anything is written; the help repairs it."""
    with psycopg.connect(cluster.url(0, cluster_database), autocommit=True) as connection:
        database = Database(connection, "advisory_raw", "concelier")
        key = "id, source_vendor" if how == "by another column" else "id, tenant"
        database.run(RAW_TABLE.format(table="advisory_raw", key=key, partitioned=""))
        database.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_pkey")
        database.run(MAKE[how])
        aoc.configure(database)

        found = [aoc.json(command, "concelier", **retrofit) for command in ("audit", "upgrade", "verify")]
        ran = stock(aoc, "upgrade", "head")

        assert [f.exit_code for f in found] == [1, 1, 1], found
        assert all("distribution-key" in f.slugs("error") for f in found)
        assert ran.exit_code != 0
        assert "must be distributed by tenant" in ran.out
        assert database.rows(OURS) == []
        help_ = found[0].finding("distribution-key")["help"].replace("Or, if its schema", "\0").partition("\0")
        for statement in remedied(help_[0]):
            database.run(statement)
        assert aoc.json("audit", "concelier").slugs("error") == ["primary-key-missing"]


def test_a_distributed_schema_is_refused(cluster: Cluster, cluster_database: str, aoc: Aoc) -> None:
    """A raw table in a distributed schema is refused, with the statement that takes the schema back."""
    with psycopg.connect(cluster.url(0, cluster_database), autocommit=True) as connection:
        database = Database(connection, "advisory_raw", "concelier")
        database.run("CREATE SCHEMA vuln; SET search_path = vuln")
        database.run(RAW_TABLE.format(table="advisory_raw", key="id", partitioned=""))
        database.run("SELECT citus_schema_distribute('vuln')")
        aoc.configure(database)
        aoc.environment["CONCELIER_DATABASE_SCHEMA"] = "vuln"

        ran = aoc.json("upgrade", "concelier")

        assert (ran.exit_code, ran.slugs("error")) == (1, ["distribution-key"])
        (statement,) = [s for s in remedied(ran.finding("distribution-key")["help"]) if "citus_schema" in s]
        database.run(statement)
        assert aoc.json("audit", "concelier").slugs("error") == []
