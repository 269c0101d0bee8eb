"""The view shows the backup as it is, and nothing but our trigger judges a write to it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.test_verifier import ROLE, as_verifier
from tests.test_view_swap import make_role

BACKUP = "advisory_backup_20251028"
FALSIFIED = {
    "some rows": f"SELECT * FROM {BACKUP} WHERE false",
    "some rows of each": f"SELECT * FROM {BACKUP} LIMIT 1",
    "only its own rows": f"SELECT * FROM ONLY {BACKUP}",
    "another value": f"SELECT id, 'none'::text AS title FROM {BACKUP}",
    "another column": f"SELECT title AS id, id AS title FROM {BACKUP}",
}
WRITES = f"BEGIN DELETE FROM {BACKUP} WHERE id = OLD.id; RETURN NULL; END"
CODE = {
    "a trigger that comes first": (
        f"CREATE FUNCTION aaa() RETURNS trigger LANGUAGE plpgsql AS '{WRITES}'; "
        "CREATE TRIGGER aaa INSTEAD OF DELETE ON advisory FOR EACH ROW EXECUTE FUNCTION aaa()",
        "trigger aaa",
    ),
    "a rule": (
        f'CREATE RULE "a rule" AS ON DELETE TO advisory DO INSTEAD DELETE FROM {BACKUP} WHERE id = OLD.id',
        'rule "a rule"',
    ),
}
WEIRD = 'ALTER TABLE advisory RENAME title TO "SELECT"; ALTER TABLE advisory ADD "a ""b"", c" int, ADD "é ." int'


@pytest.fixture
def concelier_at_head(request: pytest.FixtureRequest, concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at head; the legacy table has columns with names that need quotes."""
    aoc.configure(concelier)

    def upgraded() -> None:
        concelier.run(WEIRD)
        aoc("upgrade")

    made_once(request, concelier, upgraded)
    return concelier


@pytest.mark.every_postgres
def test_any_name_of_a_column_is_as_it_is(concelier_at_head: Database, aoc: Aoc) -> None:
    """The view of the swap is taken for what it is, also once the backup has a new column and a renamed one."""
    assert aoc("verify").exit_code == 0
    concelier_at_head.run(f'ALTER TABLE {BACKUP} ADD later int; ALTER TABLE {BACKUP} RENAME "SELECT" TO headline')

    assert aoc("verify").exit_code == 0


@pytest.mark.alike
@pytest.mark.parametrize("case", FALSIFIED)
def test_a_view_that_falsifies_history_is_found(case: str, concelier: Database, aoc: Aoc) -> None:
    """A view that reads the backup alone, but hides or changes what is in it, is found."""
    concelier.run("DROP TABLE advisory CASCADE; CREATE TABLE advisory (id text, title text)")
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"CREATE OR REPLACE VIEW advisory AS {FALSIFIED[case]}")

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["view-target"])
    assert "does not show its rows as they are" in ran.finding("view-target")["problem"]


@pytest.mark.alike
@pytest.mark.parametrize("case", CODE)
def test_other_code_on_the_view_is_found(case: str, concelier_at_head: Database, aoc: Aoc) -> None:
    """Code on the view that writes although our trigger is there is found; what the help says removes it."""
    statement, name = CODE[case]
    concelier_at_head.run(statement)
    rows = concelier_at_head.value("SELECT count(*) FROM advisory")
    concelier_at_head.run("DELETE FROM advisory WHERE id = (SELECT min(id) FROM advisory)")
    assert concelier_at_head.value("SELECT count(*) FROM advisory") == rows - 1  # it does write

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["view-code"])
    assert f"({name})" in ran.finding("view-code")["problem"]
    concelier_at_head.run(ran.finding("view-code")["help"].rpartition("run: ")[2])
    assert aoc("verify").exit_code == 0
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        concelier_at_head.run("DELETE FROM advisory")


def test_a_backup_that_was_given_away_is_found(concelier: Database, aoc: Aoc) -> None:
    """If the backup has a new owner, verify and upgrade say so, with statements that repair it."""
    make_role(concelier, "archivist")
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(f"GRANT CREATE ON SCHEMA public TO archivist; ALTER TABLE {BACKUP} OWNER TO archivist")

    verified, upgraded = aoc.json("verify"), aoc.json("upgrade")

    assert (verified.exit_code, verified.slugs("error")) == (1, ["view-owner"])
    assert (upgraded.exit_code, upgraded.slugs("error"), upgraded.report["changed"]) == (1, ["view-owner"], False)
    concelier.run(verified.finding("view-owner")["help"].removeprefix("Run: "))
    assert (aoc("verify").exit_code, aoc.json("upgrade").report["changed"]) == (0, False)
    assert aoc("downgrade", "-1").exit_code == 0


@pytest.fixture
def tenants_verifier(concelier_at_head: Database, aoc: Aoc, tmp_path: Path) -> Iterator[Aoc]:
    """The verifier of one tenant."""
    (tmp_path / "password").write_text("planted secret", encoding="utf-8")
    concelier_at_head.run("ALTER TABLE advisory_raw ENABLE ROW LEVEL SECURITY")
    aoc("verifier", "create", "concelier", "--tenant", "default", "--password-file", str(tmp_path / "password"))
    yield as_verifier(aoc, concelier_at_head)
    concelier_at_head.run(f'DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')


def test_a_tenants_verifier_sees_that_the_view_is_writable(
    concelier_at_head: Database, tenants_verifier: Aoc
) -> None:
    """A verifier that may not read what we have recorded finds that the guard of the view is gone."""
    assert tenants_verifier("verify").exit_code == 0
    concelier_at_head.run("DROP FUNCTION aoc_advisory_read_only CASCADE")

    ran = tenants_verifier.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["view-writable"])
