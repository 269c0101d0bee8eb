"""PostgreSQL checks a foreign key with a query in our session; the other table's owner decides what that runs."""

from collections.abc import Iterator

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import dump, wait_until
from tests.planting import BODY, plant, planter, ran
from tests.test_accept import options

CODE = f"CREATE FUNCTION planted.code(n int) RETURNS int {BODY.format('n')}; "
REFERS = (
    f"{CODE} CREATE TABLE planted.notes (about text); CREATE INDEX ON planted.notes ((planted.code(1))); "
    "ALTER TABLE planted.notes ADD CONSTRAINT about FOREIGN KEY (about) REFERENCES vex_raw (id); "
)
IS_ASKED = (
    f"{CODE} CREATE TABLE planted.tenants (tenant text PRIMARY KEY); INSERT INTO planted.tenants VALUES ('t'); "
    "CREATE INDEX ON planted.tenants ((planted.code(1))); "
    "ALTER TABLE vex_raw ADD CONSTRAINT known FOREIGN KEY (tenant) REFERENCES planted.tenants; "
)
SLUG = "foreign-key-owner"


@pytest.fixture
def untrusted_role(excititor: Database, aoc: Aoc) -> Iterator[str]:
    """A role that is not trusted; the raw table has a document twice."""
    for n in range(2):
        excititor.add(f"{n}", tenant="t", content_hash="h", upstream_id="u", retrieved_at=f"2025-01-0{n + 1}Z")
    aoc.configure(excititor)
    with planter(excititor) as name:
        yield name


def planted(database: Database, role: str, statements: str, table: str) -> None:
    """Plant the table, which then belongs to the role."""
    plant(database, role, f"{statements} ALTER TABLE planted.{table} OWNER TO {role}")


@pytest.mark.every_postgres
@pytest.mark.parametrize("verb", ["dedupe", "repair --rule all"])
def test_no_row_moves_before_its_owner_is_accepted(
    verb: str, excititor: Database, untrusted_role: str, aoc: Aoc
) -> None:
    """With REFERENCES alone, a role cannot make its functions run: the move stops first, and says how to go on."""
    if verb != "dedupe":
        excititor.run("UPDATE vex_raw SET tenant = NULL WHERE id = '0'")
    planted(excititor, untrusted_role, REFERS, "notes")
    before = dump(excititor)
    name, *words = verb.split()

    shown, refused = (aoc.json(name, "excititor", *words, *apply) for apply in ((), ("--apply",)))

    for each in (shown, refused):
        assert (each.exit_code, each.slugs("error")) == (1, [SLUG])
        assert "foreign key about of planted.notes" in each.finding(SLUG)["problem"]
    assert (ran(excititor), dump(excititor)) == (False, before)
    accepted = options(refused.finding(SLUG)["help"])
    assert accepted == ["--accept", f"{SLUG}:planted.notes"]
    assert aoc(name, "excititor", *words, "--apply", *accepted).exit_code == 0
    assert ran(excititor)  # this is what it stopped


def test_the_probe_asks_no_table_of_others(excititor: Database, untrusted_role: str, aoc: Aoc) -> None:
    """Nor does the probe that an upgrade ends with, if the raw table itself refers to another role's table."""
    excititor.run("DELETE FROM vex_raw WHERE id = '1'")
    planted(excititor, untrusted_role, IS_ASKED, "tenants")
    before = fingerprint(excititor.connection, without="^$")

    tried = [aoc.json(command) for command in ("audit", "upgrade")]

    assert [(each.exit_code, each.slugs("error")) for each in tried] == [(1, [SLUG])] * 2
    assert (ran(excititor), fingerprint(excititor.connection, without="^$")) == (False, before)
    assert aoc("upgrade", "--accept", f"{SLUG}:planted.tenants").exit_code == 0


def test_a_key_that_comes_while_rows_move_stops_them(excititor: Database, untrusted_role: str, aoc: Aoc) -> None:
    """A key that another role adds between two batches stops the next one."""
    excititor.add("2", tenant="t", content_hash="h", upstream_id="u", retrieved_at="2025-01-03Z")
    process = aoc.start("dedupe", "excititor", "--apply", "--batch-rows", "1", "--pace", "1%")
    wait_until(lambda: excititor.value("SELECT to_regclass('vex_raw_quarantine')") is not None)
    wait_until(lambda: excititor.value("SELECT count(*) FROM vex_raw_quarantine") == 1)

    planted(excititor, untrusted_role, REFERS, "notes")

    out, err = process.communicate(timeout=60)
    assert (process.returncode, SLUG in out, ran(excititor)) == (4, True, False), err


def test_a_trusted_owner_is_responsible(excititor: Database, untrusted_role: str, aoc: Aoc) -> None:
    """A table of the raw table's own owner stops nothing; another role's function in its indexes does."""
    plant(excititor, untrusted_role, "CREATE TABLE notes (about text REFERENCES vex_raw)")
    assert aoc("dedupe", "excititor").exit_code == 0
    plant(excititor, untrusted_role, f"{CODE} CREATE INDEX ON notes ((planted.code(1)))")

    refused = aoc.json("dedupe", "excititor", "--apply")

    assert (refused.exit_code, refused.slugs("error"), ran(excititor)) == (1, ["foreign-code"], False)
    assert "(foreign key notes_about_fkey of public.notes)" in refused.finding("foreign-code")["problem"]


def test_an_index_that_no_check_evaluates_needs_no_search_path(
    excititor: Database, untrusted_role: str, aoc: Aoc
) -> None:
    """A function in an index of the owner's own table stops nothing, though it sets no search_path."""
    excititor.run("DELETE FROM vex_raw WHERE id = '1'")
    excititor.run(
        "CREATE FUNCTION norm(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower(t); END'; "
        "CREATE TABLE tenants (tenant text PRIMARY KEY); CREATE INDEX ON tenants (norm(tenant)); "
        "INSERT INTO tenants VALUES ('t'); ALTER TABLE vex_raw ADD FOREIGN KEY (tenant) REFERENCES tenants"
    )

    assert aoc.json("audit").slugs("error") == []
    assert aoc("upgrade").exit_code == 0
