"""Names that we need and that something else has: a type, or a relation with the name of our key."""

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import psql

TAKEN = {
    "a domain like the state": ("CREATE DOMAIN public.aoc_migration_state AS int", "a type has it"),
    "an enum like the version": ("CREATE TYPE public.aoc_alembic_version AS ENUM ('a')", "a type has it"),
    "a table like our key": ("CREATE TABLE public.aoc_alembic_version_pkc ()", "does not belong to"),
}


@pytest.mark.alike
@pytest.mark.parametrize("command", ["audit", "upgrade"])
@pytest.mark.parametrize("case", TAKEN)
def test_a_name_of_ours_that_is_taken_is_found_first(
    case: str, command: str, concelier: Database, aoc: Aoc
) -> None:
    """What has the name of a table or key of ours is named before anything changes."""
    statement, reason = TAKEN[case]
    concelier.run(statement)
    aoc.configure(concelier)
    before = fingerprint(concelier.connection, without="^$")

    ran = aoc.json(command)

    assert (ran.exit_code, ran.slugs("error")) == (1, ["foreign-object"])
    assert reason in ran.finding("foreign-object")["problem"]
    assert fingerprint(concelier.connection, without="^$") == before


def test_a_type_like_the_backup_is_found_first(concelier: Database, aoc: Aoc) -> None:
    """The legacy table cannot get a name that a type has: the audit says so, and so does the Step itself."""
    concelier.run("CREATE DOMAIN public.advisory_backup_20251028 AS int")
    aoc.configure(concelier)

    audited, script = aoc.json("audit"), psql(concelier, aoc("plan", "concelier", "--sql").out)

    assert (audited.exit_code, audited.slugs("error"), script.exit_code) == (1, ["swap-conflict"], 3)
    for said in (audited.finding("swap-conflict")["problem"], script.err):
        assert "the name advisory_backup_20251028 is taken" in said
