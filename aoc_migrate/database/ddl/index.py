"""Indexes, built and dropped CONCURRENTLY, with their leftovers."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.run import emit, migration, online, weak
from aoc_migrate.database.ddl.table import forget, record
from aoc_migrate.database.session import Session, connect
from aoc_migrate.report.model import Finding, Stopped, make

DROP_AFTER_FAILURE = 5.0  # seconds

_PROGRESS = """
SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total, build.locker,
       a.application_name AS application, a.usename AS role
FROM (SELECT %s::int AS pid, (pg_blocking_pids(%s))[1] AS locker) AS build
LEFT JOIN pg_stat_progress_create_index p ON p.pid = build.pid
LEFT JOIN pg_stat_activity a ON a.pid = nullif(build.locker, 0)
"""


def create_index(table: str, index: Index, revision: str) -> None:
    """Build ``index`` CONCURRENTLY. An INVALID leftover is dropped and built anew.

    A build that still runs for a dead client is waited for. An index that was there before is recorded, so
    that the downgrade leaves it. Waiting for other transactions is bounded by ``limits.deadline``; building
    is not. Raises Stopped ``foreign-object``, ``deadline`` (exit 3) or ``step-failed``.
    """
    session = online()
    found = record(revision, f"jsonb_build_object('index_found', to_regclass('{index.name}') IS NOT NULL)")
    unique = "UNIQUE " if index.unique else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {index.name} ON {table} ({', '.join(index.columns)})"
    if session is None:
        emit(found)
        weak(table, create)
        return
    with migration().autocommit_block():
        session.run(found)
    _wait_for_build(session, index)
    state = catalog.index_state(session, table, index)
    if state == "foreign":
        raise Stopped(make("foreign-object", index.name))
    if state == "invalid":
        weak(table, f"DROP INDEX CONCURRENTLY {index.name}")
    if state != "valid":
        _build(session, table, index, create)


def drop_index(table: str, index: Index, revision: str) -> None:
    """Drop ``index`` CONCURRENTLY, unless it was there before us."""
    session = online()
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}"
    if session is None:
        weak(table, drop)
        emit(forget(revision))
        return
    found = catalog.state(session, revision)
    if found is None:
        return
    if not found["index_found"] and catalog.kind(session, index.name) is not None:
        _wait_for_build(session, index)
        weak(table, drop)
    with migration().autocommit_block():
        session.run(forget(revision))


def _wait_for_build(session: Session, index: Index) -> None:
    while (pid := catalog.building(session, index.name)) is not None:
        session.say(f"{index.name}: pid {pid} is building it already; waiting")
        time.sleep(1)


def _build(session: Session, table: str, index: Index, create: str) -> None:
    try:
        with _watched(session, index.name):
            weak(table, create, patience=0)
    except Stopped:
        with suppress(Stopped):  # whoever stopped the build may stop this too; the next run drops it
            weak(table, f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", patience=DROP_AFTER_FAILURE)
        raise


@contextmanager
def _watched(session: Session, name: str) -> Iterator[None]:
    """Tell how the build goes; cancel it when it waits for one other session beyond the deadline."""
    ended = threading.Event()
    verdict: list[str] = []
    watcher = threading.Thread(target=_watch, args=(session, name, ended, verdict), daemon=True)
    watcher.start()
    try:
        yield
    except Stopped as stopped:
        if verdict:
            raise Stopped(_waited_too_long(session, name, verdict[0])) from stopped
        raise
    finally:
        ended.set()
        watcher.join()


def _waited_too_long(session: Session, name: str, blocker: str) -> Finding:
    return make(
        "deadline",
        name,
        waited=f"{session.limits.deadline:.0f} s",
        attempts=1,
        blockers=f"The build waited for {blocker}.",
        remedy="End that session and run the same command again; what is left of the index is INVALID, "
        "serves no query, and is dropped and built anew then.",
    )


def _watch(session: Session, name: str, ended: threading.Event, verdict: list[str]) -> None:
    pid = session.connection.info.backend_pid
    waiting_since, told = time.monotonic(), time.monotonic()
    try:
        with connect(session.target, "watch", session.limits, session.flags) as other:
            while not ended.wait(0.5):
                build = other.row(_PROGRESS, (pid, pid))
                now = time.monotonic()
                if build["locker"] is None:
                    waiting_since = now
                if now - told >= 5:
                    told = now
                    session.say(f"{name}: {_progress(build)}")
                if now - waiting_since > session.limits.deadline:
                    verdict.append(_locker(build))
                    other.value("SELECT pg_cancel_backend(%s)", (pid,))
                    return
    except (psycopg.Error, Stopped) as error:
        session.say(f"{name}: no progress to show ({type(error).__name__}); the build goes on")


def _progress(row: dict[str, object]) -> str:
    if row["locker"] is not None:
        return f"waiting for {_locker(row)}"
    if row["phase"] is None:
        return "beginning"
    if row["blocks_total"]:
        return f"{row['phase']}, {row['blocks_done']} of {row['blocks_total']} blocks"
    return f"{row['phase']}, {row['tuples_done']} of {row['tuples_total']} rows"


def _locker(row: dict[str, object]) -> str:
    return f"pid {row['locker']}, {row['application']!r}, role {row['role']}"
