"""Any schema, odd names, roles that are not superusers, row-level security, two targets in one database."""

from collections.abc import Iterator

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.conftest import Aoc, Database
from tests.helpers import psql, wait_until, writing
from tests.test_lifecycle import alembic, by_script

SCHEMAS = ["Vuln Data", 'quo"te', "select", "üñí", "a.b", "per%cent", "it's"]


@pytest.fixture
def owner_with_odd_name(empty_database: Database) -> Iterator[str]:
    """An ordinary role with an odd name that owns everything."""
    name = 'Stella "the" Ö\'wner'
    quoted = psycopg.sql.Identifier(name)
    empty_database.run(psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(quoted))
    yield name
    empty_database.run(psycopg.sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(quoted))
    empty_database.run(psycopg.sql.SQL("DROP OWNED BY {}").format(quoted))
    empty_database.run(psycopg.sql.SQL("DROP ROLE {}").format(quoted))


def make_schema(database: Database, schema: str, owner: str | None = None) -> None:
    """Create a schema and search it first."""
    name = psycopg.sql.Identifier(schema)
    database.run(psycopg.sql.SQL("CREATE SCHEMA {}").format(name))
    if owner:
        role = psycopg.sql.Identifier(owner)
        database.run(psycopg.sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(name, role))
    database.run(psycopg.sql.SQL("SET search_path TO {}").format(name))


@pytest.mark.alike
@pytest.mark.parametrize("schema", SCHEMAS)
def test_any_schema_works(schema: str, empty_database: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Up, verify and down work in any schema, and leave the schema public empty."""
    make_schema(empty_database, schema)
    create_raw_table(empty_database.connection, "advisory_raw")
    create_legacy_advisory(empty_database.connection)
    empty_database.add("1")
    empty_database.add("2", retrieved_at="2025-02-01T00:00:00Z")
    aoc.configure(empty_database)
    aoc.environment["CONCELIER_DATABASE_SCHEMA"] = schema

    assert aoc("upgrade", **retrofit).exit_code == 0
    assert aoc("verify", "--probe").exit_code == 0
    assert empty_database.value("SELECT supersedes FROM advisory_raw WHERE id = '2'") == "1"
    assert aoc("downgrade", "base").exit_code == 0
    assert empty_database.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


def test_an_encoding_other_than_utf8_is_refused(empty_database: Database, aoc: Aoc) -> None:
    """A database that is not in UTF8 is refused, and nothing is made in it."""
    empty_database.run("CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    aoc.environment["EXCITITOR_DATABASE_URL"] = url = empty_database.url.rpartition("/")[0] + "/plain"
    try:
        ran = aoc.json("upgrade", PGCLIENTENCODING="LATIN1")
        with psycopg.connect(url) as plain:
            made = plain.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()
    finally:
        empty_database.run("DROP DATABASE plain")

    assert (ran.exit_code, ran.slugs(), made) == (2, ["encoding"], [])


def test_an_ordinary_owner_can_do_everything(
    empty_database: Database, owner_with_odd_name: str, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A role with an odd name and no right but ownership of the tables can do everything."""
    make_schema(empty_database, "vuln", owner_with_odd_name)
    empty_database.run(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(owner_with_odd_name)))
    create_raw_table(empty_database.connection, "advisory_raw")
    empty_database.run("CREATE TABLE advisory (id text PRIMARY KEY, title text)")
    empty_database.run("GRANT SELECT ON advisory TO PUBLIC")
    empty_database.run("RESET ROLE")
    empty_database.add("1")
    empty_database.add("2", retrieved_at="2025-02-01T00:00:00Z")
    aoc.environment |= {
        "CONCELIER_DATABASE_URL": empty_database.url_as(owner_with_odd_name, "secret"),
        "CONCELIER_DATABASE_SCHEMA": "vuln",
    }

    up = aoc.json("upgrade", **retrofit)
    down = aoc.json("downgrade", "base")
    again = aoc.json("upgrade", "--release-hold", **retrofit)

    assert [r.exit_code for r in (up, down, again)] == [0, 0, 0], up.out + down.out + again.out
    assert aoc("verify", "--probe").exit_code == 0


def test_a_new_table_belongs_to_the_named_owner(
    empty_database: Database, owner_with_odd_name: str, aoc: Aoc
) -> None:
    """A raw table created by the baseline belongs to CONCELIER_TABLE_OWNER."""
    empty_database.run(
        psycopg.sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(psycopg.sql.Identifier(owner_with_odd_name))
    )
    aoc.configure(empty_database)

    assert aoc("upgrade", CONCELIER_TABLE_OWNER=owner_with_odd_name).exit_code == 0
    assert (
        empty_database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'advisory_raw'")
        == owner_with_odd_name
    )


def test_printed_sql_makes_the_table_for_the_named_owner(
    empty_database: Database, owner_with_odd_name: str, aoc: Aoc
) -> None:
    """Where the printed baseline creates the raw table, it belongs to CONCELIER_TABLE_OWNER."""
    aoc.configure(empty_database)
    aoc.environment["CONCELIER_TABLE_OWNER"] = owner_with_odd_name
    printed = alembic(empty_database, aoc, "upgrade", "base:concelier_0001", "--sql").out

    assert psql(empty_database, printed).exit_code == 0
    assert (
        empty_database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'advisory_raw'")
        == owner_with_odd_name
    )


def test_printed_sql_gives_no_table_away(excititor: Database, owner_with_odd_name: str, aoc: Aoc) -> None:
    """A raw table that is there keeps its owner, in printed SQL too, whatever EXCITITOR_TABLE_OWNER says."""
    aoc.configure(excititor)
    aoc.environment["EXCITITOR_TABLE_OWNER"] = owner_with_odd_name
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'vex_raw'"
    before = excititor.value(owner)

    by_script(excititor, aoc)("upgrade", "excititor_0001")

    assert excititor.value(owner) == before != owner_with_odd_name


def test_two_targets_in_one_database(empty_database: Database, aoc: Aoc) -> None:
    """Both targets may live in one database, in different schemas, without seeing each other."""
    for schema, table in (("vuln", "advisory_raw"), ("vex", "vex_raw")):
        make_schema(empty_database, schema)
        create_raw_table(empty_database.connection, table)
    aoc.environment |= {
        "CONCELIER_DATABASE_URL": empty_database.url,
        "EXCITITOR_DATABASE_URL": empty_database.url,
        "CONCELIER_DATABASE_SCHEMA": "vuln",
        "EXCITITOR_DATABASE_SCHEMA": "vex",
    }

    up = aoc.json("upgrade")
    down = aoc.json("downgrade", "excititor", "base")

    assert [r["revision"] for r in up.json["reports"]] == ["concelier_0008", "excititor_0007"]
    assert (down.exit_code, aoc("verify", "concelier").exit_code) == (0, 0)


def test_a_role_that_only_reads_can_verify(concelier: Database, aoc: Aoc) -> None:
    """verify, audit and status run under a role that may only read, in read-only transactions."""
    aoc.configure(concelier)
    aoc("upgrade")
    concelier.run(
        "DROP ROLE IF EXISTS auditor; CREATE ROLE auditor LOGIN PASSWORD 'a'; "
        "ALTER ROLE auditor SET default_transaction_read_only = on; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor"
    )
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("auditor", "a")

    assert [aoc(command).exit_code for command in ("verify", "audit", "status", "upgrade")] == [0] * 4


def test_a_verifier_that_can_write_is_found(concelier: Database, aoc: Aoc) -> None:
    """verify finds a verifier role that may write, and has the REVOKE."""
    aoc.configure(concelier)
    aoc("upgrade")
    concelier.run('DROP ROLE IF EXISTS "a-verifier"; CREATE ROLE "a-verifier"')
    concelier.run('GRANT INSERT ON advisory_raw TO "a-verifier"')

    ran = aoc.json("verify", AOC_VERIFIER_USER="a-verifier")

    assert (ran.exit_code, ran.slugs()) == (1, ["verifier-can-write"])
    assert '"a-verifier"' in ran.finding("verifier-can-write")["help"]


def test_a_role_with_hidden_rows_is_refused(concelier: Database, aoc: Aoc) -> None:
    """A role whose rows a policy hides is refused: an audit would pass falsely."""
    concelier.add("bad", tenant=None)
    concelier.run(
        "DROP ROLE IF EXISTS filtered; CREATE ROLE filtered LOGIN PASSWORD 'f'; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO filtered; "
        "ALTER TABLE advisory_raw ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY mine ON advisory_raw USING (tenant = current_setting('app.tenant_id', true))"
    )
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("filtered", "f")

    audited, verified = aoc.json("audit"), aoc.json("verify")

    assert (audited.exit_code, audited.slugs("error")) == (1, ["row-level-security"])
    assert (verified.exit_code, "row-level-security" in verified.slugs()) == (1, True)


def test_the_verify_all_policy_lets_a_role_audit(concelier: Database, aoc: Aoc) -> None:
    """The policy aoc_verify_all lets a filtered role audit."""
    concelier.run(
        "DROP ROLE IF EXISTS seeing; CREATE ROLE seeing LOGIN PASSWORD 's'; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO seeing; "
        "ALTER TABLE advisory_raw ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY aoc_verify_all ON advisory_raw FOR SELECT TO seeing USING (true)"
    )
    concelier.add("bad", tenant=None)
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("seeing", "s")

    assert aoc.json("audit").slugs("error") == ["missing-required", "null-key"]


def test_a_raw_table_that_is_not_a_table_is_refused(empty_database: Database, aoc: Aoc) -> None:
    """A raw table that is not a table is refused with its kind, before anything is changed."""
    empty_database.run("CREATE MATERIALIZED VIEW advisory_raw AS SELECT 'a' AS id")
    aoc.configure(empty_database)

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["table-kind"])
    assert "materialized view" in ran.finding("table-kind")["problem"]


def test_writers_of_advisory_are_noticed(concelier: Database, aoc: Aoc) -> None:
    """The audit warns if the legacy table is written to meanwhile."""
    aoc.configure(concelier)
    with writing(concelier, "UPDATE advisory SET title = title WHERE id = (SELECT min(id) FROM advisory)"):
        wait_until(
            lambda: concelier.value("SELECT n_tup_upd > 0 FROM pg_stat_user_tables WHERE relname = 'advisory'")
        )
        ran = aoc.json("audit")

    assert (ran.exit_code, ran.slugs("warning")) == (0, ["advisory-still-written"])
