"""Indexes, built and dropped CONCURRENTLY, with their leftovers."""

from aoc_migrate.contract.model import Index
from aoc_migrate.database import catalog
from aoc_migrate.database.books import STATE
from aoc_migrate.database.ddl.build import build
from aoc_migrate.database.ddl.leftovers import drop_invalid, invalid, wait_for_build
from aoc_migrate.database.ddl.partitioned import create_on_partitions, drop_on_partitions, leaf_indexes
from aoc_migrate.database.ddl.printing import emit, migration, online, run_if, schema
from aoc_migrate.database.ddl.run import weak
from aoc_migrate.database.others import maintaining
from aoc_migrate.database.ours import foreign
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.state import forget, keep, record
from aoc_migrate.report.model import Stopped


def create_index(table: str, index: Index, revision: str) -> None:
    """Build ``index`` CONCURRENTLY. An INVALID leftover is dropped and built anew.

    A build that still runs for a dead client is waited for. An index that was there before is recorded, so
    that the downgrade leaves it. Waiting for other transactions is bounded by ``limits.deadline``; building
    is not. Raises Stopped ``foreign-object``, ``deadline`` (exit 3) or ``step-failed``.
    """
    session, raw, named = online(), schema()[table], schema()[index.name]
    partitioned = session is not None and is_partitioned(session, table)
    more = f", 'leaf_indexes', {leaf_indexes(raw)}" if partitioned else ""
    there = f"SELECT FROM pg_index WHERE indexrelid = to_regclass({named.literal}) AND indisvalid"
    facts = f"jsonb_build_object('index_found', EXISTS ({there}){more})"
    found = record(schema(), revision, facts)
    unique = "UNIQUE " if index.unique else ""
    create = f"CREATE {unique}INDEX CONCURRENTLY {index.name} ON {raw} ({', '.join(index.columns)})"
    if session is None:
        _print_create(raw, index, found, create)
        return
    with migration().autocommit_block():
        keep(session, found)
    if partitioned:
        create_on_partitions(session, table, index, _kept(session, revision))
        return
    if catalog.index_state(session, table, index) in ("missing", "invalid"):
        with migration().autocommit_block():  # a transaction of ours would keep the build waiting
            wait_for_build(session, raw, named)
    state = catalog.index_state(session, table, index)
    if state == "foreign":
        raise Stopped(foreign(index.name))
    if state != "valid":
        drop_invalid(session, raw, named)
        build(session, raw, named, create)


def drop_index(table: str, index: Index, revision: str) -> None:
    """Drop ``index`` CONCURRENTLY, unless it was there before us."""
    session, named = online(), schema()[index.name]
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {named}"
    if session is None:
        state = schema()[STATE]
        with migration().autocommit_block():
            _refuse_running(schema()[table], named)
            run_if(drop, f"SELECT FROM {state} WHERE name = '{revision}' AND NOT (value->>'index_found')::boolean")
        emit(forget(schema(), revision))
        return
    found = catalog.state(session, revision)
    if found is None:
        return
    if not found["index_found"] and is_partitioned(session, table):
        drop_on_partitions(session, table, index, _kept(session, revision))
    elif not found["index_found"] and catalog.kind(session, index.name) is not None:
        with migration().autocommit_block():
            wait_for_build(session, session.schema[table], named)
        weak(session.schema[table], drop)
    with migration().autocommit_block():
        keep(session, forget(session.schema, revision))


def _kept(session: Session, revision: str) -> list[Relation]:
    """Return the indexes that partitions had before us."""
    found = catalog.state(session, revision) or {}
    return [Relation(*names) for names in found.get("leaf_indexes", [])]


def _refuse_running(raw: Relation, named: Relation) -> None:
    """Print what ends a script where the index is INVALID and somebody else may still be building it."""
    holders = maintaining(raw)
    emit(f"""DO $aoc$
BEGIN
  IF EXISTS ({invalid(raw, named)}) AND {holders} IS NOT NULL THEN
    RAISE EXCEPTION '{named.name} is INVALID, and % may be building it: let that end, and run this again',
      {holders};
  END IF;
END $aoc$""")


def _print_create(raw: Relation, index: Index, found: str, create: str) -> None:
    """Print what `create_index` does, for psql: an index that is there is kept if it is the contract's."""
    columns = ", ".join(index.columns).replace(' COLLATE "C"', "")
    named = schema()[index.name]
    emit(found)
    with migration().autocommit_block():
        _refuse_running(raw, named)
        left = f"{invalid(raw, named)} AND {maintaining(raw)} IS NULL"
        run_if(f"DROP INDEX CONCURRENTLY {named}", left)
        run_if(create, f"SELECT WHERE to_regclass({named.literal}) IS NULL")
        emit(f"""DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({named.literal})
    AND indrelid = {raw.literal}::regclass AND indisvalid AND indisunique = {str(index.unique).lower()}
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree ({columns})') THEN
    RAISE EXCEPTION '{index.name} is not the index that the contract asks for';
  END IF;
END $aoc$""")
