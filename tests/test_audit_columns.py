"""What the audit finds in the table itself: its columns, its triggers, what depends on its links."""

import re

import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.helpers import PINNED, psql

SHAPES = {
    "forbidden-column": ("ADD cvss_vector text", ".cvss_vector", "error", "ERR_AOC_001"),
    "forbidden-column of JSON": ("ADD merged_from jsonb", ".merged_from", "error", "ERR_AOC_001"),
    "forbidden-column by prefix": ("ADD effective_x int", ".effective_x", "error", "ERR_AOC_001"),
    "unguarded-column": ("ADD extra jsonb", ".extra", "warning", "ERR_AOC_007"),
    "unguarded-column of json": ('ADD "Odd ""one""" json', '.Odd "one"', "warning", "ERR_AOC_007"),
    "column-missing": ("DROP linkset", ".linkset", "error", None),
    "column-missing identifiers": ("DROP identifiers", ".identifiers", "error", None),
    "column-type": ("ALTER source TYPE json", ".source", "error", None),
    "column-type of time": ("ALTER retrieved_at TYPE timestamp", ".retrieved_at", "error", None),
    "column-type of text": ("ALTER tenant TYPE int USING 1", ".tenant", "error", None),
    "primary-key-missing": ("DROP CONSTRAINT vex_raw_pkey", "", "error", None),
    "primary-key-missing for an id": (
        "DROP CONSTRAINT vex_raw_pkey, ADD UNIQUE (id), ALTER id DROP NOT NULL",
        "",
        "error",
        None,
    ),
    "table-unlogged": ("SET UNLOGGED", "", "warning", None),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", SHAPES)
def test_another_shape_is_found_before_any_row_is_read(case: str, excititor: Database, aoc: Aoc) -> None:
    """A table of another shape than the contract's is found before any row is read, and refused if it must be."""
    alter, subject, severity, code = SHAPES[case]
    excititor.run(f"ALTER TABLE vex_raw {alter}")
    aoc.configure(excititor)

    ran = aoc.json("audit")

    finding = ran.finding(case.split(maxsplit=1)[0])
    assert (finding["subject"], finding["severity"], finding["code"]) == (f"vex_raw{subject}", severity, code)
    assert ran.exit_code == (severity == "error")
    upgraded = aoc.json("upgrade")
    assert (upgraded.exit_code, upgraded.report["changed"]) == (ran.exit_code, severity == "warning")


FITTING = [
    "ADD severities text",
    'ADD "Severity" text',
    "DROP created_at",
    "ALTER tenant TYPE varchar(40)",
    "ALTER id TYPE varchar(255)",
    'ALTER tenant TYPE text COLLATE "C", ALTER id TYPE text COLLATE "C"',
    "ALTER retrieved_at TYPE timestamptz(3)",
    "DROP CONSTRAINT vex_raw_pkey, ADD UNIQUE (id)",
    "ADD noted text NOT NULL DEFAULT 'x', ADD n int GENERATED ALWAYS AS IDENTITY",
    "ADD loud text GENERATED ALWAYS AS (upper(tenant)) STORED",
    "ALTER tenant SET NOT NULL, ALTER source SET NOT NULL",
]


@pytest.mark.alike
@pytest.mark.parametrize("alter", FITTING)
def test_more_columns_and_narrower_types_are_accepted(
    alter: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """More columns, narrower types and other collations do not matter: up, verify and down work."""
    excititor.run(f"ALTER TABLE vex_raw {alter}")
    excititor.add("1", tenant="1")
    excititor.add("2", tenant="1", retrieved_at="2025-02-01T00:00:00Z")
    aoc.configure(excititor)

    up = aoc.json("upgrade", **retrofit)

    assert (up.exit_code, up.slugs()) == (0, [])
    assert aoc("verify", "--probe").exit_code == 0
    assert excititor.value("SELECT supersedes FROM vex_raw WHERE id = '2'") == "1"
    assert aoc("downgrade", "base").exit_code == 0


def chain_of_two(database: Database) -> None:
    """Store two revisions of one document, so that the backfill has something to write."""
    database.add("1")
    database.add("2", retrieved_at="2025-02-01T00:00:00Z")
    database.run(f"ALTER TABLE {database.table} ADD supersedes text")
    database.run(f"CREATE FUNCTION noted() {PINNED} 'BEGIN RETURN NEW; END'")


TRIGGERS = {
    "BEFORE UPDATE ON vex_raw FOR EACH ROW": True,
    "AFTER INSERT OR UPDATE ON vex_raw FOR EACH ROW": True,
    "BEFORE UPDATE OF tenant, supersedes ON vex_raw FOR EACH ROW": True,
    "AFTER UPDATE ON vex_raw FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW)": True,
    "AFTER UPDATE ON vex_raw FOR EACH STATEMENT": True,
    "BEFORE UPDATE OF tenant ON vex_raw FOR EACH ROW": False,
    "BEFORE INSERT ON vex_raw FOR EACH ROW": False,
    "AFTER DELETE ON vex_raw FOR EACH ROW": False,
}


@pytest.mark.alike
@pytest.mark.parametrize("when", TRIGGERS)
def test_a_trigger_that_the_backfill_fires_must_be_accepted(
    when: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A trigger that the backfill would fire is an error unless it is accepted; other triggers are fine."""
    chain_of_two(excititor)
    excititor.run(f'CREATE TRIGGER "No te" {when} EXECUTE FUNCTION noted()')
    aoc.configure(excititor)

    plain, named = aoc.json("audit", **retrofit), aoc.json("audit", "--accept", "update-trigger:No te", **retrofit)

    assert plain.slugs("error") == (["update-trigger"] if TRIGGERS[when] else [])
    assert named.slugs("error") == []
    other = aoc.json("audit", "--accept", "update-trigger:another", **retrofit)
    assert other.slugs("error") == plain.slugs("error")


@pytest.mark.parametrize(
    ("state", "counts"), [("DISABLE", False), ("ENABLE REPLICA", False), ("ENABLE ALWAYS", True)]
)
def test_a_disabled_trigger_stops_nothing(
    state: str, counts: bool, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A trigger that is switched off for ordinary sessions stops nothing."""
    chain_of_two(excititor)
    excititor.run("CREATE TRIGGER note BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION noted()")
    excititor.run(f"ALTER TABLE vex_raw {state} TRIGGER note")
    aoc.configure(excititor)

    assert aoc.json("audit", **retrofit).slugs("error") == (["update-trigger"] if counts else [])


def test_a_trigger_does_not_matter_where_no_row_needs_a_link(excititor: Database, aoc: Aoc) -> None:
    """Where no row needs a link, a trigger for UPDATE does not matter."""
    chain_of_two(excititor)
    excititor.run("DELETE FROM vex_raw WHERE id = '2'")
    excititor.run("CREATE TRIGGER note BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION noted()")
    aoc.configure(excititor)

    assert aoc("upgrade").exit_code == 0


def test_dependents_of_the_link_are_a_warning(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Indexes and foreign keys that the backfill goes through are a warning that names them."""
    chain_of_two(excititor)
    excititor.run(
        "CREATE INDEX by_link ON vex_raw (tenant, supersedes); CREATE INDEX not_this ON vex_raw (tenant); "
        "CREATE INDEX partly ON vex_raw (tenant) WHERE supersedes IS NULL; "
        "CREATE INDEX spoken ON vex_raw (length(supersedes)); "
        "ALTER TABLE vex_raw ADD CONSTRAINT to_previous FOREIGN KEY (supersedes) REFERENCES vex_raw"
    )
    aoc.configure(excititor)

    ran = aoc.json("audit", **retrofit)

    assert (ran.exit_code, ran.slugs("warning")) == (0, ["link-dependents"])
    names = ran.finding("link-dependents")["problem"].rpartition("(")[2].rstrip(").").split(", ")
    assert set(names) == {"by_link", "partly", "spoken", "to_previous"}
    assert aoc("upgrade", **retrofit).exit_code == 0


def test_a_foreign_object_with_our_name_is_found_first(excititor: Database, aoc: Aoc) -> None:
    """A constraint or index with one of our names that is not ours is found before any step needs the name."""
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT vex_raw_objects_v1 CHECK (source IS NOT NULL)")
    excititor.run("CREATE INDEX vex_raw_chain_v1 ON vex_raw (id)")
    aoc.configure(excititor)

    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")

    found = [(f["slug"], f["subject"]) for f in audited.report["findings"]]
    assert found == [
        ("foreign-object", "vex_raw.vex_raw_objects_v1"),
        ("foreign-object", "vex_raw_chain_v1"),
    ]
    assert (upgraded.exit_code, upgraded.report["changed"]) == (1, False)


def test_child_tables_are_refused(excititor: Database, aoc: Aoc) -> None:
    """Tables that inherit from the raw table stop upgrade and script; verify finds those that come later."""
    aoc.configure(excititor)
    script = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")
    excititor.run('CREATE TABLE "Old rows" () INHERITS (vex_raw)')

    upgraded, by_script = aoc.json("upgrade"), psql(excititor, script)

    assert (upgraded.exit_code, upgraded.slugs(), upgraded.report["changed"]) == (1, ["child-tables"], False)
    assert (by_script.exit_code, "other tables inherit from vex_raw" in by_script.err) == (3, True)
    excititor.run(upgraded.finding("child-tables")["help"].partition("for each: ")[2])
    assert aoc("upgrade").exit_code == 0
    excititor.run("CREATE TABLE newer () INHERITS (vex_raw)")
    assert aoc.json("verify").slugs() == ["child-tables"]


def test_a_raw_table_may_be_a_child(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A raw table that inherits from another goes up and down, and the other table stays as it is."""
    chain_of_two(excititor)
    excititor.run("CREATE TABLE envelope (tenant text, source jsonb); ALTER TABLE vex_raw INHERIT envelope")
    aoc.configure(excititor)

    assert aoc("upgrade", **retrofit).exit_code == 0
    assert aoc.json("verify").slugs() == []
    assert aoc("downgrade", "base").exit_code == 0
    assert excititor.value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'envelope'::regclass") == 0


def test_the_help_makes_the_key(excititor: Database, aoc: Aoc) -> None:
    """Whoever runs what the help says has a key by which rows can be linked."""
    excititor.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_pkey, ALTER id DROP NOT NULL")
    aoc.configure(excititor)
    found = aoc.json("audit").finding("primary-key-missing")

    for statement in re.findall(r"(?:CREATE|ALTER) [^;]+;", found["help"]):
        excititor.run(statement)

    assert "primary-key-missing" not in aoc.json("audit").slugs()
