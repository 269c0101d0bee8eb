"""The view swap carries over who may do what, who sees which rows, and takes it all back."""

from typing import Any

import psycopg
import pytest

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.conftest import Aoc, Database

ODD_ROLES = ['Ops "Team"', "it's - me", "UPPER", "PUBLIC", "öwnér"]
BACKUP = "advisory_backup_20251028"


def make_role(database: Database, name: str, attributes: str = "") -> str:
    """Create a role and return its quoted name; a role that an earlier test left is dropped first."""
    quoted = psycopg.sql.Identifier(name).as_string(database.connection)
    database.run(f"DROP ROLE IF EXISTS {quoted}")
    database.run(f"CREATE ROLE {quoted} {attributes}")
    return quoted


def privileges(database: Database, relation: str) -> set[Any]:
    """Return (grantor, grantee, privilege, with grant option, column) of a relation."""
    return set(
        database.rows(
            "SELECT a.grantor, a.grantee, a.privilege_type, a.is_grantable, NULL FROM pg_class, "
            "aclexplode(coalesce(relacl, acldefault('r', relowner))) AS a WHERE oid = %(r)s::regclass "
            "UNION ALL SELECT a.grantor, a.grantee, a.privilege_type, a.is_grantable, attname "
            "FROM pg_attribute, aclexplode(attacl) AS a WHERE attrelid = %(r)s::regclass",
            {"r": relation},
        )
    )


def identity(database: Database, relation: str) -> Any:
    """Return owner, comment, and the comments of columns."""
    return database.rows(
        "SELECT pg_get_userbyid(relowner), obj_description(c.oid), attname, col_description(c.oid, attnum) "
        "FROM pg_class c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 "
        "WHERE c.oid = %s::regclass ORDER BY attname",
        [relation],
    )


def fingerprint(database: Database) -> list[Any]:
    """Return all that the swap must leave or bring back: oid, kind, owner, ACL texts, comments, policies."""
    return database.rows(
        "SELECT c.oid, relkind, relowner, relacl::text, relrowsecurity, obj_description(c.oid), attname, "
        "attacl::text, col_description(c.oid, attnum) "
        "FROM pg_class c JOIN pg_attribute ON attrelid = c.oid WHERE c.oid = 'advisory'::regclass ORDER BY attnum"
    )


def grant_everything(database: Database) -> None:
    """Grant on the table, on columns, to PUBLIC, with grant option, and by others than the owner."""
    for name in ODD_ROLES:
        role = make_role(database, name)
        database.run(f"GRANT SELECT, REFERENCES, TRIGGER ON advisory TO {role} WITH GRANT OPTION")
        database.run(f"GRANT UPDATE (title, severity) ON advisory TO {role} WITH GRANT OPTION")
        database.run(f"SET ROLE {role}")
        database.run('GRANT SELECT ON advisory TO "stella-console"')
        database.run('GRANT UPDATE (title) ON advisory TO "stella-console", PUBLIC')
        database.run("RESET ROLE")
    first, second = (psycopg.sql.Identifier(n).as_string(None) for n in ODD_ROLES[:2])
    database.run(f"SET ROLE {first}; GRANT TRIGGER ON advisory TO {second} WITH GRANT OPTION; RESET ROLE")
    database.run(f"SET ROLE {second}; GRANT TRIGGER ON advisory TO stella_reader; RESET ROLE")
    for right, lender, other in (("TRUNCATE", second, first), ("INSERT", first, second)):
        database.run(f"GRANT {right} ON advisory TO {lender} WITH GRANT OPTION")
        database.run(f"SET ROLE {lender}; GRANT {right} ON advisory TO {other} WITH GRANT OPTION; RESET ROLE")
        database.run(f"SET ROLE {other}; GRANT {right} ON advisory TO stella_reader; RESET ROLE")
    roles = [make_role(database, f"borrower {n}") for n in range(4)]  # none of them has any other right
    for lender, other in (roles[:2], roles[:1:-1]):
        database.run(f"GRANT SELECT ON advisory TO {lender} WITH GRANT OPTION")
        database.run(f"SET ROLE {lender}; GRANT SELECT ON advisory TO {other} WITH GRANT OPTION; RESET ROLE")
        database.run(f"SET ROLE {other}; GRANT SELECT ON advisory TO stella_reader; RESET ROLE")
    database.run("GRANT SELECT (id) ON advisory TO PUBLIC; GRANT TRUNCATE ON advisory TO stella_reader")
    database.run("REVOKE DELETE ON advisory FROM stella_concelier")
    database.run("COMMENT ON COLUMN advisory.severity IS 'it''s \"derived\"'")


@pytest.mark.alike
@pytest.mark.parametrize("schema", ["public", 'Vuln "Data" é'])
def test_privileges_survive_both_ways(schema: str, empty_database: Database, aoc: Aoc) -> None:
    """The view has the table's privileges, owner and comments; the downgrade brings back the very table."""
    name = psycopg.sql.Identifier(schema).as_string(empty_database.connection)
    empty_database.run(f"CREATE SCHEMA IF NOT EXISTS {name}; GRANT USAGE ON SCHEMA {name} TO PUBLIC")
    empty_database.run(f"SET search_path TO {name}")
    create_raw_table(empty_database.connection, "advisory_raw")
    create_legacy_advisory(empty_database.connection)
    grant_everything(empty_database)
    before, granted = fingerprint(empty_database), privileges(empty_database, "advisory")
    named = identity(empty_database, "advisory")
    aoc.configure(empty_database)
    aoc.environment["CONCELIER_DATABASE_SCHEMA"] = schema

    up = aoc.json("upgrade")

    assert (up.exit_code, up.slugs("error"), up.slugs("warning")) == (0, [], []), up.out
    assert empty_database.value("SELECT relkind FROM pg_class WHERE oid = 'advisory'::regclass") == "v"
    assert privileges(empty_database, "advisory") == granted
    assert privileges(empty_database, BACKUP) == granted
    assert identity(empty_database, "advisory") == named
    assert aoc.json("verify").slugs() == []
    assert aoc("downgrade", "-1").exit_code == 0
    assert fingerprint(empty_database) == before
    assert empty_database.value("SELECT to_regproc('aoc_advisory_read_only')") is None


def test_a_table_without_grants_becomes_its_owners_view(concelier: Database, aoc: Aoc) -> None:
    """A table without any GRANT (a NULL ACL) becomes a view on which only the owner may do anything."""
    concelier.run("DROP TABLE advisory CASCADE; CREATE TABLE advisory (id text); COMMENT ON TABLE advisory IS ''")
    before, granted = fingerprint(concelier), privileges(concelier, "advisory")
    aoc.configure(concelier)

    assert aoc("upgrade").exit_code == 0

    assert privileges(concelier, "advisory") == granted
    assert aoc.json("verify").slugs() == []
    assert aoc("downgrade", "-1").exit_code == 0
    assert fingerprint(concelier) == before


def test_default_privileges_add_nothing(concelier: Database, aoc: Aoc) -> None:
    """Rights that default privileges would give on a new view are not left on it."""
    nosy = make_role(concelier, "nosy")
    for grantor in ("CURRENT_USER", "stella_concelier"):
        concelier.run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {grantor} GRANT ALL ON TABLES TO {nosy}, PUBLIC")
        concelier.run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {grantor} GRANT ALL ON TABLES TO stella_reader")
    granted = privileges(concelier, "advisory")
    aoc.configure(concelier)

    assert aoc("upgrade").exit_code == 0

    assert privileges(concelier, "advisory") == granted
    assert concelier.value("SELECT has_table_privilege('nosy', 'advisory', 'SELECT')") is False


def test_column_privileges_work_through_the_view(concelier: Database, aoc: Aoc) -> None:
    """A role that may read some columns of the table reads these through the view, and no others."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run('SET ROLE "stella-console"')

    assert concelier.value("SELECT count(id) FROM advisory WHERE title <> ''") == 50
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        concelier.run("SELECT severity FROM advisory")


def visible(database: Database, role: str, tenant: str) -> Any:
    """Return how many advisories a role sees for a tenant, or the SQLSTATE that it meets."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, false)", [tenant])
        connection.execute(f"SET ROLE {role}")
        try:
            row = connection.execute("SELECT count(id) FROM advisory").fetchone()
        except psycopg.Error as error:
            return error.sqlstate
        return row[0] if row else None


@pytest.mark.parametrize("forced", [False, True], ids=["enabled", "forced"])
def test_each_role_sees_its_rows_through_the_view(forced: bool, concelier: Database, aoc: Aoc) -> None:
    """Each role sees through the view the rows that it saw in the table, no more and no fewer."""
    roles = ["stella_reader", "stella_concelier"]
    roles += [make_role(concelier, "all-seeing", "BYPASSRLS"), make_role(concelier, "blind")]
    roles += [make_role(concelier, "member", "IN ROLE stella_reader"), make_role(concelier, "ungranted")]
    concelier.run('GRANT SELECT ON advisory TO "all-seeing", blind')
    concelier.run("INSERT INTO advisory (id, tenant) VALUES ('a', 'acme'), ('b', 'acme'), ('c', 'third')")
    concelier.run(
        f"ALTER TABLE advisory ENABLE ROW LEVEL SECURITY, {'' if forced else 'NO'} FORCE ROW LEVEL SECURITY"
    )
    concelier.run(
        "CREATE POLICY mine ON advisory TO stella_reader, stella_concelier "
        "USING (tenant = current_setting('app.tenant_id', true))"
    )
    asked = [(role, tenant) for role in roles for tenant in ("acme", "third", "nobody")]
    before = {(role, tenant): visible(concelier, role, tenant) for role, tenant in asked}
    assert before["stella_reader", "acme"] == before['"member"', "acme"] == 2
    assert before['"all-seeing"', "acme"] == 53
    assert before["stella_concelier", "acme"] == (2 if forced else 53)
    assert (before['"blind"', "acme"], before['"ungranted"', "acme"]) == (0, "42501")
    aoc.configure(concelier)

    assert aoc("upgrade", "--accept", "swap-conflict:stella-console").exit_code == 0

    assert {(role, tenant): visible(concelier, role, tenant) for role, tenant in asked} == before


def test_later_policies_apply_after_the_next_upgrade(concelier: Database, aoc: Aoc) -> None:
    """Policies put on the backup after the swap are bypassed by the view, until the next upgrade repairs that."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"ALTER TABLE {BACKUP} ENABLE ROW LEVEL SECURITY")
    assert visible(concelier, "stella_reader", "") == 50

    found = aoc.json("verify")

    assert (found.exit_code, found.slugs("error")) == (1, ["view-bypasses-policies"])
    assert aoc("upgrade").exit_code == 0
    assert visible(concelier, "stella_reader", "") == 0
    assert aoc("verify").exit_code == 0


WRITES = {
    "INSERT": "INSERT INTO advisory (id, tenant) VALUES ('x', 't')",
    "INSERT DEFAULT": "INSERT INTO advisory DEFAULT VALUES",
    "UPDATE": "UPDATE advisory SET title = 'x' WHERE id = 'CVE-2024-20001'",
    "DELETE": "DELETE FROM advisory",
    "SELECT INTO": "INSERT INTO advisory SELECT * FROM advisory",
}


@pytest.mark.parametrize("role", ["stella_concelier", "writer", None], ids=["owner", "writer", "superuser"])
def test_writes_are_refused_clearly(role: str | None, concelier: Database, aoc: Aoc) -> None:
    """A role that could write to the table reads that the view is read-only, and where to write now."""
    make_role(concelier, "writer")
    concelier.run("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON advisory TO writer")
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"SET ROLE {role}" if role else "RESET ROLE")

    for statement in WRITES.values():
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="advisory is read-only") as refused:
            concelier.run(statement)
        assert "advisory_raw" in (refused.value.diag.message_hint or "")
    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="advisory is read-only"),
        concelier.connection.cursor().copy("COPY advisory (id, tenant) FROM STDIN") as copy,
    ):
        copy.write_row(("x", "t"))
    with pytest.raises(psycopg.errors.WrongObjectType, match='"advisory" is not a table'):
        concelier.run("TRUNCATE advisory")
    assert concelier.value("SELECT count(*) FROM advisory") == 50


def test_writes_without_the_right_are_refused_as_before(concelier: Database, aoc: Aoc) -> None:
    """A role that could not write to the table is refused for lack of the privilege, as before."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("SET ROLE stella_reader")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        concelier.run(WRITES["DELETE"])
