"""The psql scripts for operators: the duplicate audits, and the constraints in and out."""

import pytest

from aoc_migrate.revisions.graph import contract_at
from tests.conftest import ROOT, Aoc, Database, Ran
from tests.fingerprint import fingerprint
from tests.helpers import psql

APPLY = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")


def check(database: Database, *words: str) -> Ran:
    """Run the duplicate audit of a database's raw table."""
    name = f"check-{database.table.replace('_', '-')}-duplicates.sql"
    return psql(database, (ROOT / "scripts" / name).read_text(encoding="utf-8"), *words)


def add_duplicates(database: Database, groups: int) -> None:
    """Add groups of two rows with one key."""
    for n in range(groups):
        for copy in "ab":
            database.add(f"{n}{copy}", upstream_id=f"CVE-{n}", content_hash=f"sha256:{n}")


def test_the_audit_without_conflicts_ends_with_0(target_with_chain: Database) -> None:
    """Without duplicates the audit says so and ends with 0."""
    ran = check(target_with_chain)

    assert (ran.exit_code, ran.out, ran.err) == (0, f"{target_with_chain.table}: no conflicts\n", "")


def test_the_audit_with_conflicts_ends_with_3(target_with_chain: Database) -> None:
    """LIMIT caps what is printed, the verdict counts all groups, and psql ends with 3."""
    add_duplicates(target_with_chain, 3)

    ran = check(target_with_chain, "-v", "LIMIT=2")

    assert ran.exit_code == 3
    assert "CVE-0" in ran.out
    assert "CVE-1" in ran.out
    assert "CVE-2" not in ran.out
    assert f"{target_with_chain.table}: 3 groups of 6 rows" in ran.err


def test_incomplete_keys_are_not_a_conflict(target_with_chain: Database) -> None:
    """Rows without a part of the key are counted separately, and compared with nothing."""
    for n in range(2):
        target_with_chain.add(f"n{n}", upstream_id=None, content_hash="sha256:same")

    ran = check(target_with_chain)

    assert ran.exit_code == 0
    assert "2 rows lack part of the key" in ran.out


def test_hostile_ids_reach_no_terminal(excititor: Database) -> None:
    """Control characters in ids and keys are printed escaped."""
    for copy in "ab":
        excititor.add(f"\x1b[2J{copy}", content_hash="h\x1b]0;x\x07", upstream_id="'; DROP TABLE vex_raw; --")

    ran = check(excititor)

    assert ran.exit_code == 3
    assert not any(ord(c) < 32 and c != "\n" for c in ran.out + ran.err)


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1; DROP TABLE vex_raw", ""])
def test_a_wrong_limit_is_refused(excititor: Database, limit: str) -> None:
    """A LIMIT below 1, or not a number, is refused."""
    ran = check(excititor, "-v", f"LIMIT={limit}")

    assert ran.exit_code == 3
    assert "LIMIT is a number" in ran.err


def test_a_missing_table_is_named(excititor: Database) -> None:
    """Without the table the audit says which is missing where."""
    script = (ROOT / "scripts" / "check-advisory-raw-duplicates.sql").read_text(encoding="utf-8")

    ran = psql(excititor, script, "-v", "schema=other")

    assert ran.exit_code == 3
    assert f"there is no advisory_raw in schema other of database {excititor.connection.info.dbname}" in ran.err


def test_apply_is_upgrade_to_0004(target_with_chain: Database, aoc: Aoc) -> None:
    """The script leaves the catalog and the rows that `upgrade TARGET TARGET_0004` leaves."""
    ran = psql(target_with_chain, APPLY)
    assert ran.exit_code == 0, ran.err
    by_script = fingerprint(target_with_chain.connection), rows(target_with_chain)
    assert aoc("downgrade", target_with_chain.target, "base").exit_code == 0

    assert (
        aoc("upgrade", target_with_chain.target, f"{target_with_chain.target}_0004", "--release-hold").exit_code
        == 0
    )

    assert (fingerprint(target_with_chain.connection), rows(target_with_chain)) == by_script
    assert aoc.json("verify", target_with_chain.target).slugs() == ["not-at-head"]


def rows(database: Database) -> object:
    """All of the raw table, and the revision."""
    stored = f"SELECT md5(string_agg(t::text, ' ' ORDER BY id)) FROM {database.table} AS t"
    return database.value(stored), database.value("SELECT version_num FROM aoc_alembic_version")


def test_remove_does_what_constraints_remove_does(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """With remove=1 it leaves what `constraints --remove` leaves, with a hold that upgrades respect."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    above = fingerprint(target_with_chain.connection)
    assert aoc("constraints", target_with_chain.target, "--remove").exit_code == 0
    by_command = fingerprint(target_with_chain.connection), rows(target_with_chain)
    assert aoc("upgrade", target_with_chain.target, "--release-hold").exit_code == 0

    ran = psql(target_with_chain, APPLY, "-v", "remove=1")

    assert ran.exit_code == 0, ran.err
    assert (fingerprint(target_with_chain.connection), rows(target_with_chain)) == by_command
    assert aoc.json("upgrade", target_with_chain.target).slugs() == ["held"]
    held = psql(target_with_chain, APPLY)
    assert held.exit_code == 0
    assert "after constraints --remove: nothing was changed" in held.err
    assert psql(target_with_chain, APPLY, "-v", "release_hold=1").exit_code == 0
    assert fingerprint(target_with_chain.connection) == above
    assert aoc.json("verify", target_with_chain.target).slugs("error") == []


def test_the_script_up_puts_back_what_was_removed(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Where it ends the hold of `constraints --remove`, the script of an upgrade restores what that removed."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    above = fingerprint(target_with_chain.connection)
    assert psql(target_with_chain, APPLY, "-v", "remove=1").exit_code == 0
    planned = aoc.json("plan", target_with_chain.target).report["facts"]["plan"]
    revision = f"{target_with_chain.target}_0005"
    scripts = [
        aoc("plan", target_with_chain.target, "--sql", words).out for words in ("base:head", f"{revision}:head")
    ]

    for script in scripts:
        assert psql(target_with_chain, APPLY, "-v", "remove=1", "-v", "release_hold=1").exit_code == 0
        ran = psql(target_with_chain, script, "-v", "retrofit=1", "-v", "release_hold=1")
        assert ran.exit_code == 0, ran.err
        assert fingerprint(target_with_chain.connection) == above
        assert aoc.json("verify", target_with_chain.target).slugs("error") == []

    assert any("VALIDATE" in step["statement"] for step in planned)
    assert any("UNIQUE INDEX" in step["statement"] for step in planned)
    assert aoc.json("plan", target_with_chain.target).report["facts"]["plan"] == []


def test_a_second_run_changes_nothing(target_with_chain: Database) -> None:
    """A second run changes nothing."""
    assert psql(target_with_chain, APPLY).exit_code == 0
    before = fingerprint(target_with_chain.connection), rows(target_with_chain)

    ran = psql(target_with_chain, APPLY)

    assert ran.exit_code == 0, ran.err
    assert (fingerprint(target_with_chain.connection), rows(target_with_chain)) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"content_hash": "sha256:0", "upstream_id": "CVE-0"},
            "groups of rows of {table} share an idempotency key",
        ),
        ({"tenant": None}, '1 rows of {table} break {table}_required_v1, for example id "bad"'),
        ({"source": {"severity": "high"}}, "1 rows of {table} break {table}_objects_v1"),
        ({"linkset": []}, "1 rows of {table} break {table}_objects_v1"),
        ({"tenant": " "}, "1 rows of {table} break {table}_keys_v1"),
    ],
)
def test_apply_audits_first(target_with_chain: Database, values: dict[str, object], message: str) -> None:
    """Rows that break a rule are counted per rule, and nothing is changed."""
    target_with_chain.add("good", upstream_id="CVE-0", content_hash="sha256:0")
    target_with_chain.add("bad", **values)
    before = fingerprint(target_with_chain.connection, without="^$")

    ran = psql(target_with_chain, APPLY)

    assert ran.exit_code == 3
    assert message.format(table=target_with_chain.table) in ran.err
    assert fingerprint(target_with_chain.connection, without="^$") == before


def test_a_forbidden_key_in_content_does_not_stop_it(target_with_chain: Database) -> None:
    """A forbidden key in content does not stop the constraints, whose guard comes with head."""
    target_with_chain.add("derived", content={"severity": 1}, upstream_id="CVE-9")

    assert psql(target_with_chain, APPLY).exit_code == 0


def test_an_ambiguous_schema_needs_a_target(excititor: Database) -> None:
    """Neither table, both in one schema, or a wrong target: it says so; a named target's table is made."""
    excititor.run("CREATE SCHEMA fresh; CREATE SCHEMA mixed")
    for table in ("advisory_raw", "vex_raw"):
        excititor.run(f"CREATE TABLE mixed.{table} (id text PRIMARY KEY)")

    neither, both = (psql(excititor, APPLY, "-v", f"schema={schema}") for schema in ("fresh", "mixed"))
    named = psql(excititor, APPLY, "-v", "schema=fresh", "-v", "target=excititor")

    wrong = psql(excititor, APPLY, "-v", "schema=mixed", "-v", "target=foo")

    choice = "choose with -v target=NAME, which is concelier or excititor"
    assert (
        f"schema fresh of database {excititor.connection.info.dbname} holds neither raw table: {choice}"
        in neither.err
    )
    assert f"holds the raw tables of concelier and excititor: {choice}" in both.err
    assert "ERROR:  target is concelier or excititor, not foo\n" in wrong.err
    assert [ran.exit_code for ran in (neither, both, wrong, named)] == [3, 3, 3, 0], named.err
    assert excititor.value("SELECT version_num FROM fresh.aoc_alembic_version") == "excititor_0004"
    assert contract_at("excititor", None).table == "vex_raw"


@pytest.mark.parametrize("way", [["-1", "-f"], ["-v", "AUTOCOMMIT=off", "-f"]], ids=str)
def test_a_surrounding_transaction_is_refused(excititor: Database, way: list[str]) -> None:
    """psql -1 and AUTOCOMMIT off are detected and refused before anything is done."""
    before = fingerprint(excititor.connection, without="^$")

    ran = psql(excititor, "", *way, str(ROOT / "scripts" / "apply-aoc-constraints.sql"))

    assert ran.exit_code == 3
    assert "without psql -1" in ran.err
    assert fingerprint(excititor.connection, without="^$") == before
