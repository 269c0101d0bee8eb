"""Index builds of another session that a test holds open, and a migrating role that sees nobody else's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.conftest import Database
from tests.helpers import fill, wait_until

INDEX = "vex_raw_idempotency_v1"
COLUMNS = "(tenant, source_vendor, upstream_id, content_hash)"
BUILD = f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON public.vex_raw {COLUMNS}"
LATE = "phase = 'waiting for old snapshots'"  # nothing is left to do, and the index is still INVALID


@contextmanager
def lonely(database: Database) -> Iterator[str]:
    """Yield the name of a role that owns the raw table and sees only its own sessions."""
    role = f"lonely_{database.connection.info.backend_pid}"
    database.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CREATE ON SCHEMA public TO {role}")
    database.run(f"ALTER TABLE {database.table} OWNER TO {role}")
    try:
        yield role
    finally:
        database.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@contextmanager
def held(database: Database, statement: str = BUILD) -> Iterator[tuple[int, Callable[[], None]]]:
    """Run a superuser's build that waits at its very end; yield its pid, and a function that lets it end."""
    failed: list[psycopg.Error] = []
    with psycopg.connect(database.url) as old, psycopg.connect(database.url, autocommit=True) as builder:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT FROM pg_class")
        pid = builder.info.backend_pid

        def build() -> None:
            try:
                builder.execute(statement.encode())
            except psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=build)
        thread.start()

        def let_go() -> None:
            old.rollback()
            thread.join()

        try:
            phase = f"SELECT count(*) FROM pg_stat_progress_create_index WHERE pid = %s AND {LATE}"
            wait_until(lambda: database.value(phase, [pid]) == 1)
            wait_until(lambda: bool(database.value("SELECT pg_blocking_pids(%s)", [pid])))  # a moment later
            yield pid, let_go
        finally:
            let_go()
    assert failed == []


def oid(database: Database, index: str = INDEX) -> int | None:
    """Return the index of that name, None if it does not exist."""
    return database.value("SELECT to_regclass(%s)::oid::bigint", [index])  # type: ignore[no-any-return]


def valid(database: Database, index: str = INDEX) -> bool | None:
    """Return whether that index is valid, None if it does not exist."""
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    return database.value(query, [index])  # type: ignore[no-any-return]


def leave_invalid(database: Database, statement: str = BUILD) -> None:
    """Let a build fail at its very end, which leaves the index INVALID."""
    with psycopg.connect(database.url, autocommit=True) as builder, psycopg.connect(database.url) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT FROM pg_class")
        builder.execute("SET statement_timeout = '1s'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            builder.execute(statement.encode())


@contextmanager
def autovacuum(database: Database) -> Iterator[None]:
    """Let an autovacuum work on the raw table, which would take minutes."""
    fill(database, 4000)
    database.run("UPDATE vex_raw SET id = id")
    database.run(
        "ALTER TABLE vex_raw SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
    )
    database.run("ALTER SYSTEM SET autovacuum_naptime = 1")
    database.run("SELECT pg_reload_conf()")
    vacuuming = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'vex_raw'::regclass"
    try:
        wait_until(lambda: database.value(vacuuming) == 1, seconds=60)
        yield
    finally:
        database.run("ALTER SYSTEM RESET autovacuum_naptime")
        database.run("SELECT pg_reload_conf()")
