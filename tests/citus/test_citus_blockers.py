"""Who blocks us and who waits for us on a Citus cluster, on whichever node."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.batches import Batches
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.place import read_place
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from tests.citus.clusters import Cluster
from tests.conftest import Aoc, Database
from tests.helpers import wait_until

FIRST = "SELECT nodeport, shard_name(logicalrelid, shardid) FROM pg_dist_shard JOIN pg_dist_placement "
FIRST += "USING (shardid) JOIN pg_dist_node USING (groupid) WHERE logicalrelid = 'advisory_raw'::regclass"


@contextmanager
def on_a_worker(cluster: Cluster, database: Database) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """Connect to the first worker as somebody's report; return the connection, and a shard that the worker has."""
    url = cluster.url(1, database.connection.info.dbname)
    with psycopg.connect(url, application_name="a report") as connection:
        (shard,) = [name for port, name in database.rows(FIRST) if port == connection.info.port][:1]
        yield connection, shard


@contextmanager
def session_on(database: Database) -> Iterator[Session]:
    """Open a session of ours, which knows where it is."""
    with connect(Target("concelier", database.url), "test", Limits(), Flags()) as session:
        read_place(session)
        yield session


def test_a_blocker_on_a_worker_is_named(distributed: Database, cluster: Cluster, aoc: Aoc) -> None:
    """A transaction that was opened on a worker, and read a shard, is named by the first try that it blocks."""
    distributed.run("ALTER TABLE advisory_raw DROP COLUMN supersedes")
    with on_a_worker(cluster, distributed) as (holder, shard):
        holder.execute(f"SELECT 'planted-text' FROM {shard}".encode())
        pid, at = holder.info.backend_pid, f"{holder.info.host}:{holder.info.port}"

        ran = aoc.json("upgrade", "concelier", "concelier_0001", "--max-stall", "300ms", "--deadline", "1s")

        assert ran.exit_code == 3, (ran.out, ran.err)
        (first,) = [line for line in ran.err.splitlines() if "try 1 gave up" in line]
        for text in (first, ran.finding("deadline")["problem"]):
            assert f"pid {pid} on {at} (postgres, 'a report', idle in transaction, open for " in text
        assert "planted-text" not in ran.out + ran.err
        distributed.run(ran.finding("deadline")["help"].partition("example: ")[2].partition(")")[0] + ")")
        with pytest.raises(psycopg.OperationalError):
            holder.execute("SELECT 1")

    assert aoc.json("upgrade", "concelier", "concelier_0001").report["revision"] == "concelier_0001"


def test_a_blocker_that_names_another_session_is_named_itself(
    distributed: Database, cluster: Cluster, aoc: Aoc
) -> None:
    """A session that calls itself a backend of Citus for another role's session does not get that one ended."""
    distributed.run("ALTER TABLE advisory_raw DROP COLUMN supersedes")
    victim = distributed.value("SELECT citus_backend_gpid()")
    role = f"pretender_{distributed.connection.info.backend_pid}"
    distributed.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT SELECT ON advisory_raw TO {role}")
    with on_a_worker(cluster, distributed) as (somebody, shard):
        somebody.rollback()
        url = cluster.url(1, distributed.connection.info.dbname)
        with psycopg.connect(url, user=role, password="p") as pretender:
            pretender.execute(f"SET application_name = 'citus_internal gpid={victim}'".encode())
            pretender.execute(f"SELECT count(*) FROM {shard}".encode())

            ran = aoc.json("upgrade", "concelier", "concelier_0001", "--max-stall", "300ms", "--deadline", "1s")

            problem, help_ = ran.finding("deadline")["problem"], ran.finding("deadline")["help"]
            assert f"pid {pretender.info.backend_pid} on " in problem, problem
            assert (role in problem, str(victim) in help_) == (True, False), help_
    distributed.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_blocker_through_another_worker_is_its_session(
    distributed: Database, cluster: Cluster, aoc: Aoc
) -> None:
    """A session that reads the table through a worker holds shards of both; it is named once, not its backends."""
    distributed.run("ALTER TABLE advisory_raw DROP COLUMN supersedes")
    with on_a_worker(cluster, distributed) as (holder, _):
        holder.execute("SELECT count(*) FROM advisory_raw")

        ran = aoc.json("upgrade", "concelier", "concelier_0001", "--max-stall", "300ms", "--deadline", "1s")

        problem = ran.finding("deadline")["problem"]
        assert (ran.exit_code, problem.count("pid "), problem.count("'a report'")) == (3, 1, 1), problem
        assert f"pid {holder.info.backend_pid} on " in problem


def test_waiters_on_a_shard_are_counted(distributed: Database, aoc: Aoc) -> None:
    """A session that waits on a shard for rows of our batch counts once, however many backends it has."""
    for n in range(4):
        distributed.add(f"{n}", tenant=f"t{n}")
    with (
        session_on(distributed) as session,
        session_on(distributed) as watch,
        psycopg.connect(distributed.url, autocommit=True) as writer,
    ):
        running = Batches(session, "link rows", ADVISORY_RAW.table, 1.0, ())
        update = f"UPDATE {session.raw} SET created_at = now()"
        with session.transaction():
            session.run(update)
            waiting = threading.Thread(target=lambda: writer.execute(update.encode()))
            waiting.start()
            pid = session.connection.info.backend_pid

            def waited() -> bool:
                running.observe(watch, pid)
                return running.throttle.step.waiting > 0

            wait_until(waited)
        waiting.join()

    assert (running.throttle.step.waiting, running.blockers.ahead) == (1, [])
