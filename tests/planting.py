"""An untrusted role's code on a raw table; each run of it leaves a trace that no rollback undoes."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import Database, Ran
from tests.fingerprint import fingerprint
from tests.helpers import dump

BODY = (
    "LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog "
    "AS 'BEGIN PERFORM nextval(''public.ran''); RETURN {}; END'"
)
TRIGGER = f"CREATE FUNCTION planted.code() RETURNS trigger {BODY.format('coalesce(NEW, OLD)')}; "
CHECK = f"CREATE FUNCTION planted.code(t text) RETURNS bool {BODY.format('true')}; "
TEXT = f"CREATE FUNCTION planted.code(t text) RETURNS text {BODY.format('t')}; "
BOTH = f"CREATE FUNCTION planted.code(a text, b text) RETURNS bool {BODY.format('true')}; "

PLANTED = (
    f"{TRIGGER} CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON vex_raw "
    "FOR EACH ROW EXECUTE FUNCTION planted.code()"
)
STATEMENT = f"{TRIGGER} CREATE TRIGGER t AFTER UPDATE ON vex_raw EXECUTE FUNCTION planted.code()"
EVENTS = (
    f"CREATE FUNCTION planted.code() RETURNS event_trigger {BODY.format('')}; "
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION planted.code()"
)


@contextmanager
def planter(database: Database) -> Iterator[str]:
    """Yield a role without rights on the raw table, with a schema of its own; it is gone afterwards."""
    role = f"planter_{database.connection.info.backend_pid}"
    database.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE SCHEMA planted AUTHORIZATION {role}")
    database.run(
        "CREATE SEQUENCE ran; GRANT USAGE ON SEQUENCE ran TO PUBLIC; GRANT USAGE ON SCHEMA planted TO PUBLIC"
    )
    try:
        yield role
    finally:
        database.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def plant(database: Database, role: str, statements: str) -> None:
    """Run ``statements``, hand over the functions of the schema ``planted``, forget what ran."""
    database.run(statements)
    for (function,) in database.rows(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'planted'::regnamespace"
    ):
        database.run(f"ALTER ROUTINE {function} OWNER TO {role}")
    database.run("SELECT setval('ran', 1, false)")


def ran(database: Database) -> bool:
    """Return whether any of it ran since it was planted."""
    return bool(database.value("SELECT is_called FROM ran"))


def connected(database: Database, role: str) -> psycopg.Connection[object]:
    """Return a connection of the role."""
    return psycopg.connect(database.url_as(role, "p"), autocommit=True)


def code(ran: Ran) -> list[str]:
    """Return the functions that a report calls foreign."""
    return [f["subject"] for f in ran.report["findings"] if f["slug"] == "foreign-code"]


def state(database: Database) -> tuple[object, ...]:
    """Return all that a command could have changed: the catalog, the rows, the revision, the runs, a hold."""
    ours = [
        database.rows(f"SELECT * FROM {name} ORDER BY 1")
        for name in ("aoc_alembic_version", "aoc_migration_state", "aoc_migration_log", "aoc_supersedes_journal")
        if database.value("SELECT to_regclass(%s)", [name])
    ]
    return fingerprint(database.connection, without="^$"), dump(database), ours
