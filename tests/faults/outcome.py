"""All that a command leaves in a database, as lines that can be compared with those of another database."""

from typing import Any

import psycopg

from tests.fingerprint import fingerprint

_BOOKS = {
    "aoc_alembic_version": "SELECT version_num FROM aoc_alembic_version",
    "aoc_migration_state": "SELECT name, (value - 'started_at' - 'recorded_in')::text FROM aoc_migration_state",
    "aoc_migration_hold": "SELECT command, revision, held_by, finished FROM aoc_migration_hold",
    "aoc_supersedes_journal": "SELECT count(*), "
    "md5(string_agg(row(id, p.old, p.new)::text, ' ' ORDER BY id, batch)) "
    "FROM aoc_supersedes_journal, LATERAL (SELECT links[n][1] AS id, links[n][2] AS new, links[n][3] AS old "
    "FROM generate_series(1, array_length(links, 1)) AS n) AS p",
    "aoc_migration_log": "SELECT command, goal, coalesce((SELECT 'a run before it was left open' "
    "FROM aoc_migration_log o WHERE ended_at IS NULL AND o.run < l.run LIMIT 1), 'all before it are closed') "
    "FROM aoc_migration_log l ORDER BY run DESC LIMIT 1",
}
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"


def outcome(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the catalog of schema public, a digest of each table's rows, and our own bookkeeping.

    Left out is what may differ: times, the oid of our own table, numbers and sizes of batches, runs, and the
    history before the last run.
    """
    lines = fingerprint(connection, without="^$")
    for (table,) in connection.execute(_TABLES).fetchall():
        digest = f"SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} AS t"
        rows = connection.execute(_BOOKS.get(table, digest).encode()).fetchall()
        lines += [f"row of {table}: {' | '.join(map(str, row))}" for row in rows]
    return lines


def differences(expected: list[str], actual: list[str]) -> list[str]:
    """Return one line for everything that is in only one of the two."""
    lacking = [f"lacks {line}" for line in expected if line not in actual]
    return lacking + [f"has {line}" for line in actual if line not in expected]
