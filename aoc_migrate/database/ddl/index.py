"""Indexes, built and dropped CONCURRENTLY, with their leftovers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import STATE
from aoc_migrate.database.ddl.printing import emit, migration, online, run_if
from aoc_migrate.database.ddl.run import weak
from aoc_migrate.database.ddl.table import forget, record
from aoc_migrate.database.patience import gave_up
from aoc_migrate.database.session import Session
from aoc_migrate.database.watch import Stall, watched
from aoc_migrate.report.model import Stopped, make

DROP_AFTER_FAILURE = 5.0  # seconds

_PROGRESS = (
    "SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total "
    "FROM pg_stat_progress_create_index WHERE pid = %s"
)


def create_index(table: str, index: Index, revision: str) -> None:
    """Build ``index`` CONCURRENTLY. An INVALID leftover is dropped and built anew.

    A build that still runs for a dead client is waited for. An index that was there before is recorded, so
    that the downgrade leaves it. Waiting for other transactions is bounded by ``limits.deadline``; building
    is not. Raises Stopped ``foreign-object``, ``deadline`` (exit 3) or ``step-failed``.
    """
    session = online()
    found = record(revision, f"jsonb_build_object('index_found', EXISTS ({_there(index, valid=True)}))")
    unique = "UNIQUE " if index.unique else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {index.name} ON {table} ({', '.join(index.columns)})"
    if session is None:
        _print_create(table, index, found, create)
        return
    with migration().autocommit_block():  # a transaction of ours would keep the build waiting
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
        with migration().autocommit_block():
            run_if(drop, f"SELECT FROM {STATE} WHERE name = '{revision}' AND NOT (value->>'index_found')::boolean")
        emit(forget(revision))
        return
    found = catalog.state(session, revision)
    if found is None:
        return
    if not found["index_found"] and catalog.kind(session, index.name) is not None:
        with migration().autocommit_block():
            _wait_for_build(session, index)
        weak(table, drop)
    with migration().autocommit_block():
        session.run(forget(revision))


def _there(index: Index, *, valid: bool) -> str:
    is_valid = "" if valid else "NOT "
    return f"SELECT FROM pg_index WHERE indexrelid = to_regclass('{index.name}') AND {is_valid}indisvalid"


def _print_create(table: str, index: Index, found: str, create: str) -> None:
    """Print what `create_index` does, for psql: an index that is there is kept if it is the contract's."""
    columns = ", ".join(index.columns).replace(' COLLATE "C"', "")
    emit(found)
    with migration().autocommit_block():
        run_if(f"DROP INDEX CONCURRENTLY {index.name}", _there(index, valid=False))
        run_if(create, f"SELECT WHERE to_regclass('{index.name}') IS NULL")
        emit(f"""DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{index.name}')
    AND indrelid = '{table}'::regclass AND indisvalid AND indisunique = {str(index.unique).lower()}
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree ({columns})') THEN
    RAISE EXCEPTION '{index.name} is not the index that the contract asks for';
  END IF;
END $aoc$""")


def _wait_for_build(session: Session, index: Index) -> None:
    """Wait for somebody else's build, such as one that outlived its client. No transaction of ours is open."""
    begun, stall = time.monotonic(), Stall(session)
    while (pid := catalog.building(session, index.name)) is not None:
        session.say(f"{index.name}: pid {pid} is building it already; waiting")
        stall.look(session, pid)
        waited = time.monotonic() - begun
        if waited > session.limits.deadline:
            raise Stopped(gave_up(session, index.name, waited, 1, stall))
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
    """Tell how the build goes; cancel it when it waits for other sessions beyond the deadline."""
    build = _Build(session, name)
    try:
        with watched(session, build.look, every=0.5):
            yield
    except Stopped as stopped:
        if build.cancelled:
            finding = gave_up(session, name, session.limits.deadline, 1, build.stall)
            raise Stopped(finding) from stopped
        raise


class _Build:
    """What the watcher of an index build knows: how far it is, and for how long it has been waiting."""

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name, self.stall = session, name, Stall(session)
        self.waiting_since: float | None = None
        self.told, self.cancelled = time.monotonic(), False

    def look(self, other: Session, pid: int) -> None:
        """Look once; cancel the build when it waits for too long."""
        now = time.monotonic()
        waits = self.stall.look(other, pid)
        self.waiting_since = (self.waiting_since or now) if waits else None
        if now - self.told >= 5:
            self.told = now
            state = f"waiting. {self.stall.words()}" if waits else self._progress(other, pid)
            self.session.say(f"{self.name}: {state}")
        if (
            not self.cancelled
            and self.waiting_since is not None
            and now - self.waiting_since > self.session.limits.deadline
        ):
            self.cancelled = True
            other.value("SELECT pg_cancel_backend(%s)", (pid,))

    def _progress(self, other: Session, pid: int) -> str:
        rows = other.rows(_PROGRESS, (pid,))
        if not rows:
            return "beginning"
        if rows[0]["blocks_total"]:
            return f"{rows[0]['phase']}, {rows[0]['blocks_done']:,} of {rows[0]['blocks_total']:,} blocks"
        return f"{rows[0]['phase']}, {rows[0]['tuples_done']:,} of {rows[0]['tuples_total']:,} rows"
