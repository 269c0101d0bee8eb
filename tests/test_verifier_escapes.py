"""What lets a verifier write without a right of its own: settings in one database, and functions of others."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.test_verifier import ROLE, migrated, password_file

__all__ = ["migrated", "password_file"]
SET = 'ALTER ROLE "{}" {} SET default_transaction_read_only = {}'
DEFINER = "CREATE FUNCTION {}() RETURNS {} LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'"


@pytest.mark.parametrize("value", ["off", "false", "0"])
def test_a_setting_in_one_database_wins(value: str, migrated: Database, aoc: Aoc, password_file: str) -> None:
    """A role whose sessions can write in this database is found; what the help says repairs it, as does create."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    here = f"IN DATABASE {migrated.connection.info.dbname}"
    for repair in ("help", "create"):
        migrated.run(SET.format(ROLE, here, value))

        found = aoc.json("verifier", "check").finding("verifier-not-read-only")

        assert here in found["help"]
        if repair == "create":
            assert aoc("verifier", "create").exit_code == 0
        else:
            migrated.run(found["help"].removeprefix("Run: "))
        assert aoc.json("verifier", "check").slugs() == []
        with psycopg.connect(migrated.url_as(ROLE, "planted secret"), autocommit=True) as connection:
            assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_only_what_holds_here_counts(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """A setting in another database is no finding; a role that is read-only in this one alone is read-only."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    migrated.run(SET.format(ROLE, "IN DATABASE postgres", "off"))
    assert aoc.json("verifier", "check").slugs() == []
    migrated.run(SET.format(ROLE, "", "off"))
    assert "IN DATABASE" not in aoc.json("verifier", "check").finding("verifier-not-read-only")["help"]
    migrated.run(SET.format(ROLE, f"IN DATABASE {migrated.connection.info.dbname}", "yes"))

    assert aoc.json("verifier", "check").slugs() == []


def test_functions_with_their_owners_rights_are_listed(migrated: Database, aoc: Aoc, password_file: str) -> None:
    """A warning names SECURITY DEFINER functions that the role may execute, and no others."""
    assert aoc("verifier", "create", "--password-file", password_file).exit_code == 0
    migrated.run("CREATE SCHEMA closed")
    for name, returned in (("fires", "trigger"), ("revoked", "int"), ("closed.away", "int"), ("invoker", "int")):
        migrated.run(DEFINER.format(name, returned))
    migrated.run("REVOKE EXECUTE ON FUNCTION revoked FROM PUBLIC; ALTER FUNCTION invoker SECURITY INVOKER")
    assert aoc.json("verifier", "check").slugs() == []
    migrated.run(DEFINER.format("deletes", "int"))

    ran = aoc.json("verifier", "check")

    assert (ran.exit_code, ran.slugs()) == (0, ["verifier-borrows-rights"])
    assert ran.finding("verifier-borrows-rights")["problem"].endswith("rights: public.deletes().")
    for number in range(12):
        migrated.run(DEFINER.format(f"deletes_{number}", "int"))
    problem = aoc.json("verifier", "check").finding("verifier-borrows-rights")["problem"]
    assert (problem.count("deletes"), problem[-2:]) == (12, "….")
