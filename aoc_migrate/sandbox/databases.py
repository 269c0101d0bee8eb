"""The two databases of a deployment before the contract."""

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from aoc_migrate.sandbox.state import exclusively

if TYPE_CHECKING:
    from aoc_migrate.sandbox.server import Server

Connection = psycopg.Connection[Any]

RAW_TABLES = {"concelier": "advisory_raw", "excititor": "vex_raw"}
"""The raw table of each target; a target's database in the sandbox has the target's name."""

RAW_TABLE_SQL = sql.SQL("""
CREATE TABLE {table} (
    id text PRIMARY KEY,
    tenant text,
    source_vendor text,
    upstream_id text,
    content_hash text,
    retrieved_at timestamptz,
    source jsonb,
    upstream jsonb,
    linkset jsonb,
    content jsonb,
    identifiers jsonb,
    created_at timestamptz DEFAULT now()
)
""")
"""A raw table before the contract: nothing but ``id`` is required, and ``supersedes`` is missing."""

LEGACY_ROLES = ("stella_concelier", "stella_reader", "stella-console")
"""The owner of the legacy table, a role that may pass its right on, and one whose name needs quotes."""

LEGACY_ADVISORY_SQL = """
CREATE TABLE advisory (
    id text PRIMARY KEY,
    tenant text NOT NULL,
    title text,
    severity text,
    merged_from jsonb,
    updated_at timestamptz DEFAULT now()
);
COMMENT ON TABLE advisory IS 'Merged advisories, kept up to date until the Aggregation-Only Contract';
INSERT INTO advisory (id, tenant, title, severity, merged_from, updated_at)
SELECT
    format('CVE-2024-%s', 20000 + n),
    'default',
    format('Merged advisory %s', n),
    (ARRAY['low', 'medium', 'high', 'critical'])[1 + n % 4],
    jsonb_build_array('osv', 'redhat'),
    timestamptz '2025-06-01 00:00:00+00' + n * interval '1 hour'
FROM generate_series(1, 50) AS n;
CREATE VIEW advisory_titles AS SELECT id, tenant, title FROM advisory;

ALTER TABLE advisory OWNER TO stella_concelier;
ALTER VIEW advisory_titles OWNER TO stella_concelier;
GRANT SELECT ON advisory TO stella_reader WITH GRANT OPTION;
GRANT INSERT, UPDATE ON advisory TO "stella-console";
GRANT SELECT (id, title) ON advisory TO "stella-console";
GRANT SELECT ON advisory_titles TO "stella-console";
"""
"""The merged advisories that concelier kept before the contract, with a view, owners and privileges."""

_ROLE_SQL = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- a role belongs to the server: another database of it has made this one
END $$
"""


def create_raw_table(connection: Connection, table: str) -> None:
    """Create an empty raw table in the connection's current schema."""
    connection.execute(RAW_TABLE_SQL.format(table=sql.Identifier(table)))


def create_legacy_advisory(connection: Connection) -> None:
    """Create the legacy table ``advisory``, its view, its roles and their rights in the current schema."""
    for role in LEGACY_ROLES:
        connection.execute(sql.SQL(_ROLE_SQL).format(role=sql.Identifier(role)))
    connection.execute(LEGACY_ADVISORY_SQL)


def prepare(server: "Server") -> None:
    """Create the missing databases of the running server, and the tables of each in one transaction."""
    with exclusively(server.folder), psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for database, table in RAW_TABLES.items():
            if database not in existing:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            _fill(server.url(database), table)


def _fill(url: str, table: str) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
        if found == (False,):
            create_raw_table(connection, table)
            if table == RAW_TABLES["concelier"]:
                create_legacy_advisory(connection)
