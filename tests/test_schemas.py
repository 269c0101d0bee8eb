"""The life cycle in schemas of every kind of name: every way leaves the same, and nothing else is touched."""

from collections.abc import Callable

import pytest
from psycopg import sql

from aoc_migrate.revisions.graph import history
from aoc_migrate.sandbox.databases import RAW_TABLE_SQL, create_legacy_advisory
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import psql
from tests.test_lifecycle import alembic

ODD = 'a%b"c\\d'
CASES = [
    ("excititor", "public"),
    ("excititor", ODD),
    ("excititor", "$user"),
    ("concelier", ODD),
    ("concelier", "public"),
]
TABLES = {"concelier": "advisory_raw", "excititor": "vex_raw"}
Go = Callable[[Database, str, Aoc, str], None]


def by_command(database: Database, schema: str, aoc: Aoc, direction: str) -> None:
    """Run aoc-migrate itself."""
    words = ["upgrade", "--release-hold"] if direction == "up" else ["downgrade", "base"]
    ran = aoc(*words, AOC_ALLOW_SUPERSEDES_RETROFIT="true")
    assert ran.exit_code == 0, ran.out + ran.err


def by_alembic(database: Database, schema: str, aoc: Aoc, direction: str) -> None:
    """Print the SQL with stock Alembic, without a connection to the database, and run it with psql."""
    last = history(database.target)[-1].id
    words = ("upgrade", f"base:{last}") if direction == "up" else ("downgrade", f"{last}:base")
    printed = alembic(database, aoc, *words, "--sql").out
    ran = psql(database, printed, "-q", "-v", "ON_ERROR_STOP=1", PGOPTIONS="-c aoc.allow_supersedes_retrofit=true")
    assert ran.exit_code == 0, ran.err


def by_plan(database: Database, schema: str, aoc: Aoc, direction: str) -> None:
    """Print a script with `plan --sql`, which is given the schema when psql runs it."""
    last = history(database.target)[-1].id
    printed = Aoc()("plan", database.target, f"base:{last}" if direction == "up" else f"{last}:base", "--sql")
    assert printed.exit_code == 0, printed.err
    ran = psql(database, printed.out, "-v", "retrofit=1", "-v", "release_hold=1", "-v", f"schema={schema}")
    assert ran.exit_code == 0, ran.err


WAYS: dict[str, Go] = {"command": by_command, "alembic --sql": by_alembic, "plan --sql": by_plan}


def make(database: Database, schema: str) -> None:
    """Make schema, raw table, a chain without links and, for concelier, the legacy table."""
    place = sql.Identifier(schema, TABLES[database.target])
    database.run(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    database.run(RAW_TABLE_SQL.format(table=place))
    database.run(
        sql.SQL(
            "INSERT INTO {} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
            "upstream, linkset) SELECT n, 't', 'v', 'u', n, '2025-01-01'::date + n, o, o, o "
            "FROM generate_series(1, 3) AS n, jsonb_build_object('a', 1) AS o"
        ).format(place)
    )
    if database.target == "concelier":
        database.run(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        create_legacy_advisory(database.connection)
        database.run("RESET search_path")


def make_decoys(database: Database, schema: str) -> list[str]:
    """Put tables of our names where an unqualified name would find them; their rows break every rule."""
    decoys = [name for name in ("public", database.connection.info.user) if name != schema]
    for name in decoys:
        database.run(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
        for table in (*TABLES.values(), "advisory"):
            place = sql.Identifier(name, table)
            database.run(RAW_TABLE_SQL.format(table=place))
            database.run(sql.SQL("INSERT INTO {} (id, source) VALUES (' ', '[5]')").format(place))
        for table, columns in {
            "aoc_alembic_version": "version_num varchar(32)",
            "aoc_migration_state": "name text, value jsonb",
            "aoc_supersedes_journal": "n int",
            "aoc_migration_log": "run bigint, outcome text",
        }.items():
            place = sql.Identifier(name, table)
            database.run(sql.SQL("CREATE TABLE {} ({})").format(place, sql.SQL(columns)))
        function = sql.Identifier(name, f"{TABLES[database.target]}_content_ok_v1")
        harmless = "CREATE FUNCTION {}(content jsonb) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'"
        database.run(sql.SQL(harmless).format(function))
        version = sql.Identifier(name, "aoc_alembic_version")
        database.run(sql.SQL("INSERT INTO {} VALUES ('excititor_0003')").format(version))
    return decoys


def seen(database: Database, schemas: list[str], without: str) -> list[object]:
    """Return the catalog of schemas and all rows of their tables."""
    found: list[object] = []
    for schema in schemas:
        found += fingerprint(database.connection, schema, without)
        tables = (
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s)) AND relkind = 'r'"
        )
        for (table,) in database.rows(f"{tables} AND relname !~ %s ORDER BY 1", [schema, without]):
            place = sql.Identifier(schema, table)
            found += database.rows(sql.SQL("SELECT to_jsonb(t) FROM {} AS t ORDER BY 1").format(place))
    return found


@pytest.mark.alike
@pytest.mark.parametrize(("target", "schema"), CASES, ids=str)
def test_every_way_works_in_any_schema(target: str, schema: str, empty_database: Database, aoc: Aoc) -> None:
    """Up, verify and down leave the same catalog and rows by every way, and decoys of our names as they were."""
    database = Database(empty_database.connection, TABLES[target], target)
    make(database, schema)
    decoys = make_decoys(database, schema)
    planted = seen(database, decoys, "^$")
    assert decoys
    assert planted
    aoc.environment = {f"{target.upper()}_DATABASE_URL": database.url, f"{target.upper()}_DATABASE_SCHEMA": schema}
    ends = {}

    for name, way in WAYS.items():
        way(database, schema, aoc, "up")
        above = seen(database, [schema], "^aoc_")
        assert "'supersedes': '2'" in str(above), name
        verified = aoc.json("verify", "--probe")
        assert (verified.exit_code, verified.slugs("error")) == (0, []), name
        way(database, schema, aoc, "down")
        ends[name] = above, seen(database, [schema], "^aoc_")
        assert seen(database, decoys, "^$") == planted, name
        place = sql.Identifier(schema)
        for table in ("aoc_migration_state", "aoc_alembic_version"):
            database.run(sql.SQL("DROP TABLE {}.{}").format(place, sql.Identifier(table)))

    assert ends["alembic --sql"] == ends["command"]
    assert ends["plan --sql"] == ends["command"]
    others = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    assert {name for (name,) in database.rows(others)} == {schema, "public", *decoys}


@pytest.mark.parametrize("schema", ["two\nlines", "back\\nslash\r", "'\n\\! exit"], ids=ascii)
def test_a_script_knows_the_schema_for_which_it_was_printed(
    schema: str, empty_database: Database, aoc: Aoc
) -> None:
    """Without -v schema, a script of `plan --sql` works in the schema of its environment, whatever the name is."""
    database = Database(empty_database.connection, "vex_raw", "excititor")
    make(database, schema)
    aoc.environment = {"EXCITITOR_DATABASE_URL": database.url, "EXCITITOR_DATABASE_SCHEMA": schema}

    printed = aoc("plan", "excititor", "base:head", "--sql").out
    ran = psql(database, printed, "-v", "retrofit=1")

    assert ran.exit_code == 0, ran.err
    assert aoc("verify", "--require-head").exit_code == 0


def test_a_schema_that_would_end_our_blocks_is_refused(excititor: Database, aoc: Aoc) -> None:
    """A schema whose name has the mark of our DO blocks is refused before anything is sent (exit 2)."""
    aoc.configure(excititor)

    ran = aoc("upgrade", EXCITITOR_DATABASE_SCHEMA="x$aoc$y")

    assert (ran.exit_code, "Rename the schema" in ran.err) == (2, True)
