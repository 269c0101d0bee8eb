"""All that a command leaves in a database, in a form in which two databases can be compared."""

from typing import Any

import psycopg

Outcome = dict[str, list[tuple[Any, ...]]]

_OURS = "relnamespace = 'public'::regnamespace"
_CATALOG = {
    "relation": f"SELECT relname, relkind, relpersistence, pg_get_userbyid(relowner), relacl::text, reloptions, "
    f"obj_description(oid, 'pg_class'), relrowsecurity, pg_get_viewdef(oid) FROM pg_class WHERE {_OURS}",
    "column": "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attisdropped, attacl::text "
    f"FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 AND {_OURS}",
    "constraint": "SELECT relname, conname, contype, convalidated, pg_get_constraintdef(o.oid), "
    "obj_description(o.oid, 'pg_constraint') "
    f"FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid WHERE {_OURS}",
    "index": "SELECT relname, indisunique, indisvalid, indisready, indislive, pg_get_indexdef(indexrelid) "
    f"FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE {_OURS}",
    "trigger": "SELECT relname, tgname, tgenabled, pg_get_triggerdef(t.oid) "
    f"FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE {_OURS}",
    "function": "SELECT proname, pg_get_userbyid(proowner), pg_get_functiondef(oid) FROM pg_proc "
    "WHERE pronamespace = 'public'::regnamespace",
}
_BOOKS = {
    "aoc_alembic_version": "SELECT version_num FROM aoc_alembic_version",
    "aoc_migration_state": "SELECT name, (value - ARRAY['at', 'started_at'])::text FROM aoc_migration_state",
    "aoc_supersedes_journal": "SELECT count(*), md5(string_agg(row(ids, old, new)::text, ' ' ORDER BY batch)) "
    "FROM aoc_supersedes_journal",
    "aoc_migration_log": "SELECT command, goal FROM aoc_migration_log ORDER BY run DESC LIMIT 1",
    "aoc_migration_log, runs left open before the last": "SELECT run FROM aoc_migration_log "
    "WHERE ended_at IS NULL AND run < (SELECT max(run) FROM aoc_migration_log)",
}


def outcome(connection: psycopg.Connection[Any]) -> Outcome:
    """Return the catalog of schema public, a digest of each table's rows, and our own bookkeeping.

    Left out is what may differ: times, numbers of batches and runs, and the history before the last run.
    """
    found = {name: sorted(connection.execute(sql).fetchall(), key=repr) for name, sql in _CATALOG.items()}
    tables = [row[0] for row in found["relation"] if row[1] in "rp"]
    for table in (name for name in tables if name not in _BOOKS):
        digest = f"SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} AS t"
        found[f"rows of {table}"] = connection.execute(digest).fetchall()
    for section, sql in _BOOKS.items():
        exists = section.split(",")[0] in tables
        found[section] = sorted(connection.execute(sql).fetchall(), key=repr) if exists else []
    return found


def differences(expected: Outcome, actual: Outcome) -> list[str]:
    """Return one line for everything that is in only one of the two."""
    lines = []
    for section in sorted({*expected, *actual}):
        ours, theirs = set(expected.get(section, [])), set(actual.get(section, []))
        lines += [f"{section} lacks {row}" for row in sorted(ours - theirs, key=repr)]
        lines += [f"{section} has {row}" for row in sorted(theirs - ours, key=repr)]
    return lines
