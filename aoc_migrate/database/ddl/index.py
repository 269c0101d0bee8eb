"""Indexes, built and dropped CONCURRENTLY, with their leftovers."""

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import STATE
from aoc_migrate.database.ddl.build import build, wait_for_build
from aoc_migrate.database.ddl.partitioned import LEAF_INDEXES, create_on_partitions, drop_on_partitions
from aoc_migrate.database.ddl.printing import emit, migration, online, run_if
from aoc_migrate.database.ddl.run import weak
from aoc_migrate.database.ddl.table import forget, record
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Stopped, make


def create_index(table: str, index: Index, revision: str) -> None:
    """Build ``index`` CONCURRENTLY. An INVALID leftover is dropped and built anew.

    A build that still runs for a dead client is waited for. An index that was there before is recorded, so
    that the downgrade leaves it. Waiting for other transactions is bounded by ``limits.deadline``; building
    is not. Raises Stopped ``foreign-object``, ``deadline`` (exit 3) or ``step-failed``.
    """
    session = online()
    partitioned = session is not None and is_partitioned(session, table)
    more = f", 'leaf_indexes', {LEAF_INDEXES.format(table=table)}" if partitioned else ""
    found = record(revision, f"jsonb_build_object('index_found', EXISTS ({_there(index, valid=True)}){more})")
    unique = "UNIQUE " if index.unique else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {index.name} ON {table} ({', '.join(index.columns)})"
    if session is None:
        _print_create(table, index, found, create)
        return
    with migration().autocommit_block():  # a transaction of ours would keep the build waiting
        session.run(found)
        wait_for_build(session, index.name)
    if partitioned:
        create_on_partitions(session, table, index, _kept(session, revision))
        return
    state = catalog.index_state(session, table, index)
    if state == "foreign":
        raise Stopped(make("foreign-object", index.name))
    if state == "invalid":
        weak(table, f"DROP INDEX CONCURRENTLY {index.name}")
    if state != "valid":
        build(session, table, index.name, create)


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
    if not found["index_found"] and is_partitioned(session, table):
        drop_on_partitions(session, table, index, _kept(session, revision))
    elif not found["index_found"] and catalog.kind(session, index.name) is not None:
        with migration().autocommit_block():
            wait_for_build(session, index.name)
        weak(table, drop)
    with migration().autocommit_block():
        session.run(forget(revision))


def _kept(session: Session, revision: str) -> list[str]:
    """Return the indexes that partitions had before us."""
    found = catalog.state(session, revision) or {}
    return list(found.get("leaf_indexes", []))


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
