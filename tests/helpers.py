"""What several tests need: rows in bulk, waiting for a condition, an independent check of the links."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.supersedes.backfill import relink
from aoc_migrate.report.model import Report
from aoc_migrate.run.target_run import Options, on_target
from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc, Database, Ran
from tests.copies import made_once

PINNED = "RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS"
"""How a trigger function of others is written that our sessions may run."""


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def fill(database: Database, rows: int) -> None:
    """Insert chains of five revisions each."""
    database.run(
        f"INSERT INTO {database.table} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
        "source, upstream, linkset) SELECT 'r' || n, 'default', 'osv', 'CVE-' || n / 5, 'sha256:' || n, "
        "timestamptz '2025-01-01' + n * interval '1 second', '{}', '{}', '{}' "
        f"FROM generate_series(1, {rows}) AS n"
    )


def beyond_cache(database: Database) -> None:
    """Let every table of the database be larger than what PostgreSQL takes for the cache."""
    database.run(f"ALTER DATABASE {database.connection.info.dbname} SET effective_cache_size = '8kB'")


def wrong_links(database: Database) -> int:
    """Count rows whose link is not the previous row of their document."""
    return int(
        database.value(
            "SELECT count(*) FROM (SELECT supersedes, lag(id) OVER (PARTITION BY upstream_id "
            "ORDER BY retrieved_at) AS expected "
            f"FROM {database.table}) s WHERE supersedes IS DISTINCT FROM expected"
        )
    )


@contextmanager
def writing(database: Database, statement: str) -> Iterator[None]:
    """Run a statement over and over in a session of its own."""
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not stop.wait(0.02):
                connection.execute(statement.encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def psql(database: Database, script: str, *words: str, **environment: str) -> Ran:
    """Run a script with psql on its standard input."""
    ran = subprocess.run(
        [str(find_binaries() / "psql"), database.url, "-X", *words],
        input=script,
        capture_output=True,
        env=os.environ | environment,
        check=False,
        text=True,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def dump(database: Database) -> str:
    """Return every row of the raw table, whole, as PostgreSQL itself writes it down."""
    query = f'COPY (SELECT * FROM {database.table} ORDER BY id COLLATE "C") TO STDOUT'
    with database.connection.cursor().copy(query.encode()) as copy:
        return b"".join(bytes(block) for block in copy).decode()


def restore_all(database: Database, aoc: Aoc) -> None:
    """Restore every run that is in quarantine, the latest first."""
    while database.value(f"SELECT EXISTS (SELECT FROM {database.table}_quarantine)"):
        assert aoc("repair", database.target, "--restore", "--apply").exit_code == 0


def counted(database: Database, query: str) -> int:
    """Return a sum of PostgreSQL's counters, once every other session has ended and reported, and our own has."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: database.value(others) == 0)
    database.run("SELECT pg_stat_force_next_flush()")
    return int(database.value(f"SELECT coalesce(sum(n), 0) FROM ({query}) AS counters (n)"))


def scans(database: Database) -> int:
    """Return how often the raw table was read from one end to the other."""
    return counted(database, f"SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{database.table}'")


def updates(database: Database) -> tuple[int, int]:
    """Return how many rows of the raw table were updated, and how many of them in place."""
    query = f"SELECT {{}} FROM pg_stat_user_tables WHERE relname = '{database.table}'"
    return counted(database, query.format("n_tup_upd")), counted(database, query.format("n_tup_hot_upd"))


@contextmanager
def unread_slot(database: Database) -> Iterator[str]:
    """Yield the name of a replication slot that nobody reads, three megabytes behind."""
    slot = f"unread_{database.connection.info.backend_pid}"
    database.run("SELECT pg_create_physical_replication_slot(%s, true)", [slot])
    try:
        database.run("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
        yield slot
    finally:
        database.run("SELECT pg_drop_replication_slot(%s)", [slot])


def before_backfill(
    database: Database, aoc: Aoc, allowed: dict[str, str], request: pytest.FixtureRequest | None = None
) -> Database:
    """Bring an excititor with 400 rows without links up to the backfill, which is allowed.

    ``request``: of a test whose database is new, so that this is made once.
    """

    def make() -> Ran:
        fill(database, 400)
        return aoc("upgrade", "excititor_0005")

    aoc.configure(database)
    aoc.environment |= allowed
    if request:
        made_once(request, database, make, "before the backfill")
    else:
        assert make().exit_code == 0
    return database


def backfill(database: Database, url: str = "", **limits: Any) -> Report:
    """Run the backfill alone, with limits that have no option; ``url`` is that of another role."""

    def verb(session: Session, _: Report) -> None:
        with runner_lock(session):
            relink(session, VEX_RAW, "excititor_0006")

    options = Options(Limits(batch_rows=100, **limits), Flags(allow_supersedes_retrofit=True))
    return on_target(Target("excititor", url or database.url), "chain", options, verb)
