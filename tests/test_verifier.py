"""The verifier: a role that reads what verification needs, can do nothing else, and is dropped without a trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.fingerprint import fingerprint
from tests.helpers import wait_until

ROLE = "stella-aoc-verify"


@pytest.fixture
def migrated(request: pytest.FixtureRequest, target_with_chain: Database, aoc: Aoc) -> Iterator[Database]:
    """Each target at head, without the role before and after."""
    made_once(request, target_with_chain, lambda: aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true"))
    yield target_with_chain
    if target_with_chain.value("SELECT true FROM pg_roles WHERE rolname = %s", [ROLE]):
        target_with_chain.run(f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """A file with a password in its first line."""
    (path := tmp_path / "password").write_text("planted secret\nsecond line\n", encoding="utf-8")
    return str(path)


def as_verifier(aoc: Aoc, database: Database, password: str = "planted secret") -> Aoc:
    """Return the command with the verifier's URL."""
    return Aoc({f"{database.target.upper()}_DATABASE_URL": database.url_as(ROLE, password)})


def test_the_verifier_can_verify_and_nothing_else(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """The role verifies cleanly, its own check agrees, and a write, a table and another table are refused."""
    created = aoc.json("verifier", "create", "--password-file", password_file)
    assert (created.exit_code, created.slugs("error")) == (0, []), created.out
    own = as_verifier(aoc, migrated)

    assert own.json("verify").slugs() == []
    assert own.json("verifier", "check").slugs("error") == []
    with psycopg.connect(migrated.url_as(ROLE, "planted secret"), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        mine, log = "CREATE TABLE public.mine ()", "DELETE FROM aoc_migration_log"
        for statement in (f"DELETE FROM {migrated.table}", mine, log):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_password_goes_nowhere(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """No output, ledger entry or catalog holds the password; the server has a SCRAM verifier of it."""
    ran = aoc("verifier", "create", "--password-file", password_file, "--format", "json")

    stored = migrated.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [ROLE])
    assert stored.startswith("SCRAM-SHA-256$4096:")
    assert "planted" not in ran.out + ran.err + str(migrated.rows("SELECT * FROM aoc_migration_log"))
    assert "SCRAM" not in ran.out + ran.err + str(migrated.rows("SELECT * FROM aoc_migration_log"))


def test_create_rotates_the_password(migrated: Database, aoc: Aoc, password_file: str, tmp_path: Path) -> None:
    """create again sets the new password; without a file it stays, and rights that got lost come back."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    migrated.run(f'REVOKE SELECT ON aoc_migration_log FROM "{ROLE}"; ALTER ROLE "{ROLE}" RESET ALL')
    lacking = {"verifier-lacks-privileges", "verifier-not-read-only"}
    assert set(aoc.json("verifier", "check").slugs("error")) == lacking
    (tmp_path / "new").write_text("another", encoding="utf-8")

    assert aoc("verifier", "create", "--password-file", str(tmp_path / "new")).exit_code == 0
    assert as_verifier(aoc, migrated, "another")("verify").exit_code == 0
    assert aoc("verifier", "create").exit_code == 0
    assert as_verifier(aoc, migrated, "another")("verify").exit_code == 0
    assert as_verifier(aoc, migrated)("verify").exit_code == 3


def test_drop_leaves_no_trace(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """After create and drop, catalog and roles are as before, with row-level security and without."""
    for rls in ("DISABLE", "ENABLE"):
        migrated.run(f"ALTER TABLE {migrated.table} {rls} ROW LEVEL SECURITY")
        before = catalog_and_roles(migrated)
        assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
        assert catalog_and_roles(migrated) != before

        migrated.run(f"ALTER TABLE {migrated.table} DISABLE ROW LEVEL SECURITY")
        assert aoc("verifier", "drop").exit_code == 0
        migrated.run(f"ALTER TABLE {migrated.table} {rls} ROW LEVEL SECURITY")

        assert catalog_and_roles(migrated) == before
    assert aoc("verifier", "drop").exit_code == 0


def catalog_and_roles(database: Database) -> tuple[list[str], list[Any]]:
    """Return the catalog, where an ACL of the default rights counts as no ACL, and the roles."""
    found = fingerprint(database.connection)
    lines = [line.replace("{sandbox=arwdDxtm/sandbox}", "None") for line in found]
    return lines, database.rows("SELECT rolname FROM pg_roles ORDER BY 1")


def test_policies_hide_no_row_from_the_verifier(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """Policies that hide rows from everybody do not hide them from the verifier."""
    migrated.run(
        f"ALTER TABLE {migrated.table} ENABLE ROW LEVEL SECURITY; CREATE POLICY tenants ON {migrated.table} "
        "USING (tenant = current_setting('app.tenant_id', true))"
    )

    assert aoc.json("verifier", "create", "--password-file", password_file).slugs("error") == []

    ran = as_verifier(aoc, migrated).json("verify")
    assert (ran.exit_code, ran.report["facts"]["rows"]) == (0, 3)
    migrated.run(f"DROP POLICY aoc_verify_all ON {migrated.table}")
    lacking = aoc.json("verifier", "check").finding("verifier-lacks-privileges")
    assert "row-level security" in lacking["problem"]


def test_a_verifier_of_one_tenant_sees_only_its_rows(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """A verifier of one tenant sees that tenant's rows, whatever other policies show, and its report says so."""
    migrated.add("other", tenant="o'th\\er", upstream_id="CVE-9")
    backup = migrated.value("SELECT to_regclass('advisory_backup_20251028')::text")
    if backup:
        migrated.run(f"ALTER TABLE {backup} RENAME tenant TO owner")
        migrated.run(f"ALTER TABLE {backup} ENABLE ROW LEVEL SECURITY")
    create = ("verifier", "create", "--password-file", password_file)
    unlimited = aoc.json(*create, "--tenant", "o'th\\er")
    assert (unlimited.exit_code, unlimited.slugs("error")) == (1, ["tenant-not-limited"])
    assert not migrated.rows("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
    migrated.run(
        f"ALTER TABLE {migrated.table} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {migrated.table} USING (true)"
    )

    assert aoc.json(*create, "--tenant", "o'th\\er").slugs("error") == []
    rotated = aoc.json(*create)

    own = as_verifier(aoc, migrated)
    facts = own.json("verify").report["facts"]
    assert (facts["rows"], facts["tenant"], rotated.report["facts"]["tenant"]) == (1, "o'th\\er", "o'th\\er")
    refused = own("verify", "--tenant", "default")
    assert refused.exit_code == 2
    assert "o'th" in refused.err
    assert own.json("audit").slugs("error") == ["row-level-security"]


@pytest.mark.parametrize("target_with_chain", ["excititor"], indirect=True)
def test_an_interrupted_create_grants_nothing_yet(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """SIGTERM while create waits for a lock: exit code 143, no right to any row yet; the same command goes on."""
    migrated.run(f"ALTER TABLE {migrated.table} ENABLE ROW LEVEL SECURITY")
    create = ("verifier", "create", "--tenant", "default", "--password-file", password_file)
    with psycopg.connect(migrated.url) as reader:
        reader.execute(f"SELECT FROM {migrated.table}".encode())
        process = aoc.start(*create)
        wait_until(lambda: migrated.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", [ROLE]) == 1)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert not migrated.value(f"SELECT has_table_privilege(%s, '{migrated.table}', 'SELECT')", [ROLE])
    assert migrated.value("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = %s", [ROLE])

    assert aoc(*create).exit_code == 0

    assert as_verifier(aoc, migrated)("verify").exit_code == 0
    assert migrated.rows("SELECT outcome FROM aoc_migration_log ORDER BY run DESC LIMIT 2") == [
        ("done",),
        ("interrupted",),
    ]


def test_a_role_that_can_do_more_is_refused(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """A role that is more than a reader is not made the verifier, and nothing of it is changed."""
    migrated.run(f'CREATE ROLE "{ROLE}" CREATEDB')
    before = migrated.rows("SELECT * FROM pg_roles WHERE rolname = %s", [ROLE])

    ran = aoc.json("verifier", "create", "--password-file", password_file)

    assert (ran.exit_code, ran.slugs("error")) == (1, ["verifier-too-privileged"])
    assert migrated.rows("SELECT * FROM pg_roles WHERE rolname = %s", [ROLE]) == before
    assert aoc.json("verifier", "check").slugs("error") == ["verifier-too-privileged"]


def test_missing_rights_are_reported_first(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """Who may not create roles, or does not own the table, learns it before anything is done."""
    migrated.run("CREATE ROLE weak LOGIN PASSWORD 'x'; GRANT USAGE, CREATE ON SCHEMA public TO weak")
    migrated.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak")
    weak = Aoc({f"{migrated.target.upper()}_DATABASE_URL": migrated.url_as("weak", "x")})
    try:
        ran = weak.json("verifier", "create", "--password-file", password_file)

        assert (ran.exit_code, ran.slugs("error")) == (1, ["privileges", "privileges"])
        assert [f["help"] for f in ran.report["findings"]][1] == "Run: ALTER ROLE weak CREATEROLE;"
        assert not migrated.rows("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
    finally:
        migrated.run("DROP OWNED BY weak; DROP ROLE weak")


def test_check_finds_excess_rights(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """Writing, reading what is not its own and creating anywhere are each found, and the tries leave nothing."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    migrated.run(
        f'GRANT INSERT, UPDATE ON {migrated.table} TO "{ROLE}"; CREATE TABLE salaries (id int); '
        f'GRANT SELECT ON salaries TO "{ROLE}"; GRANT CREATE ON SCHEMA public TO "{ROLE}"; '
        f'GRANT SELECT ON pg_authid TO "{ROLE}"; CREATE SCHEMA other; GRANT CREATE ON SCHEMA other TO "{ROLE}"'
    )
    migrated.run(f'GRANT CREATE ON DATABASE {migrated.connection.info.dbname} TO "{ROLE}"')
    before = fingerprint(migrated.connection, without="^$")

    ran = aoc.json("verifier", "check")

    assert ran.slugs("error") == ["verifier-can-write", *["verifier-could-write"] * 6]
    assert "salaries" in ran.finding("verifier-reads-more")["problem"]
    assert fingerprint(migrated.connection, without="^$") == before


@pytest.mark.alike
@pytest.mark.parametrize("right", ["INSERT (id)", "UPDATE (id)", "DELETE", "TRUNCATE", "TRIGGER"])
def test_any_right_to_change_rows_is_found(right: str, migrated: Database, aoc: Aoc, password_file: str) -> None:
    """Each right by which the verifier could change rows of another table is found by itself."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    migrated.run(f'CREATE TABLE salaries (id int); GRANT {right} ON salaries TO "{ROLE}"')

    problems = [finding["problem"] for finding in aoc.json("verifier", "check").report["findings"]]

    assert any("salaries" in problem for problem in problems), problems


def test_check_says_how_to_create_a_missing_role(migrated: Database, aoc: Aoc) -> None:
    """Without the role check says how to make it."""
    ran = aoc.json("verifier", "check")

    assert (ran.exit_code, ran.slugs()) == (1, ["verifier-missing"])
    assert "verifier create" in ran.finding("verifier-missing")["help"]


@pytest.mark.parametrize("content", [b"", b"\nsecond", b"\xff\xfe"])
def test_an_unusable_password_file_is_refused(
    migrated: Database, aoc: Aoc, tmp_path: Path, content: bytes
) -> None:
    """A file without a usable first line, or none, is refused before the role is touched."""
    (tmp_path / "bad").write_bytes(content)

    for file in (tmp_path / "bad", tmp_path / "gone", "/dev/zero"):
        ran = aoc("verifier", "create", "--password-file", str(file))
        assert ran.exit_code == 2
    assert not migrated.rows("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
