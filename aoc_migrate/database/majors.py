"""What differs between the majors of PostgreSQL on which we run, 15 and newer; nothing else asks for a version."""

from typing import Any

from psycopg import Connection

OLDEST = 15
"""The first whose views can run with their caller's privileges (PostgreSQL 15 manual, CREATE VIEW)."""

TOO_OLD = f"current_setting('server_version_num')::int < {OLDEST}0000"
"""SQL: whether the server is older."""

ACT_AS = "CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END"
"""SQL: what pg_has_role calls the right to SET ROLE (PostgreSQL 16 manual, 9.26, pg_has_role)."""

CREATEROLE_ALTERS_EVERY_ROLE = "current_setting('server_version_num')::int < 160000"
"""SQL: whether CREATEROLE is enough to alter and drop others' roles (PostgreSQL 16 release notes)."""


def enforced(constraint: str) -> str:
    """Return the SQL condition that a row of pg_constraint is ENFORCED (PostgreSQL 18 manual, CREATE TABLE)."""
    return f"to_jsonb({constraint})->>'conenforced' IS DISTINCT FROM 'false'"


def major(connection: Connection[Any]) -> int:
    """Return the major version of the server."""
    return connection.info.server_version // 10_000


def rights_beyond_select(connection: Connection[Any]) -> str:
    """Return the other privileges on a table; MAINTAIN is new (PostgreSQL 17 manual, 5.8)."""
    return "INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER" + ", MAINTAIN" * (major(connection) >= 17)


def partitions_keep_not_null(connection: Connection[Any]) -> bool:
    """Return whether a partition's own NOT NULL outlives the parent's (PostgreSQL 18 manual, ALTER TABLE)."""
    return major(connection) >= 18
