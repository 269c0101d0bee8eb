"""Rights to read that were granted or revoked on the view since the swap follow it back to the table."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql
from tests.test_lifecycle import WAYS
from tests.test_view_swap import BACKUP, make_role, privileges

pytestmark = pytest.mark.every_postgres

ODD = 'Ops "Team" 100%'


@pytest.fixture
def swapped(concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at head; role lender may read advisory and grant that to others."""
    for name in ("lender", "late", "direct", "alpha", "zeta", ODD):
        make_role(concelier, name)
    concelier.run("GRANT SELECT ON advisory TO lender WITH GRANT OPTION; GRANT USAGE ON SCHEMA public TO PUBLIC")
    concelier.run("SET ROLE lender; GRANT SELECT ON advisory TO late; RESET ROLE")
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    return concelier


def readers(database: Database, relation: str) -> set[Any]:
    """Return (grantor, grantee, with grant option, column) of the rights to read a relation, with names."""
    names = dict(database.rows("SELECT oid, rolname FROM pg_roles")) | {0: "PUBLIC"}
    found = privileges(database, relation)
    return {(names[by], names[to], option, column) for by, to, kind, option, column in found if kind == "SELECT"}


CHANGES = f"""
GRANT SELECT ON advisory TO "{ODD.replace('"', '""')}" WITH GRANT OPTION;
GRANT SELECT (id, title) ON advisory TO PUBLIC;
GRANT INSERT, DELETE ON advisory TO late;
REVOKE SELECT (title) ON advisory FROM "stella-console";
REVOKE GRANT OPTION FOR SELECT ON advisory FROM stella_reader;
SET ROLE lender; REVOKE SELECT ON advisory FROM late; GRANT SELECT ON advisory TO stella_reader; RESET ROLE;
SET ROLE "{ODD.replace('"', '""')}"; GRANT SELECT ON advisory TO late; RESET ROLE;
"""
LINES = {
    "GRANT SELECT (id) TO PUBLIC, which the table grants too",
    "GRANT SELECT (title) TO PUBLIC, which the table grants too",
    f'GRANT SELECT TO "{ODD.replace(chr(34), chr(34) * 2)}" WITH GRANT OPTION, which the table grants too',
    f'GRANT SELECT TO late GRANTED BY "{ODD.replace(chr(34), chr(34) * 2)}", which the table grants too',
    "GRANT SELECT TO stella_reader GRANTED BY lender, which the table grants too",
    "GRANT SELECT TO stella_reader, which the table grants too",
    'REVOKE SELECT (title) FROM "stella-console", which the table revokes too',
    "REVOKE SELECT FROM late GRANTED BY lender, which the table revokes too",
    "REVOKE SELECT FROM stella_reader WITH GRANT OPTION, which the table revokes too",
}


@pytest.mark.alike
@pytest.mark.parametrize("way", WAYS)
def test_the_table_gets_the_views_present_readers(way: str, swapped: Database, aoc: Aoc) -> None:
    """Whatever way leads down, the table then grants exactly the rights to read that the view granted."""
    swapped.run(CHANGES)
    present, writes = readers(swapped, "advisory"), privileges(swapped, BACKUP)

    WAYS[way](swapped, aoc)("downgrade", "concelier_0007")

    assert readers(swapped, "advisory") == present
    assert {r for r in privileges(swapped, "advisory") if r[2] != "SELECT"} == {
        r for r in writes if r[2] != "SELECT"
    }


@pytest.mark.alike
@pytest.mark.parametrize(
    "change",
    [
        "GRANT SELECT ON advisory TO direct",
        "REVOKE SELECT ON advisory FROM lender CASCADE",
        "GRANT SELECT ON advisory TO zeta WITH GRANT OPTION; SET ROLE zeta; GRANT SELECT ON advisory TO alpha; "
        "RESET ROLE",
    ],
    ids=["granted", "revoked", "granted by one who was granted"],
)
def test_one_change_follows_alone(change: str, swapped: Database, aoc: Aoc) -> None:
    """A grant, a revocation or a chain of grants that is the only change follows the view, with its grantors."""
    swapped.run(change)
    present = readers(swapped, "advisory")

    assert aoc("downgrade", "concelier", "-1").exit_code == 0

    assert readers(swapped, "advisory") == present


def test_a_right_to_a_column_that_is_gone_stays_behind(swapped: Database, aoc: Aoc) -> None:
    """A right to a column of the view whose name the table no longer has stops no downgrade, and goes nowhere."""
    swapped.run(f"ALTER TABLE {BACKUP} RENAME title TO heading; GRANT SELECT (title) ON advisory TO direct")

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, "view-changed-since" in ran.slugs()) == (0, False)
    assert {reader for reader in readers(swapped, "advisory") if reader[1] == "direct"} == set()


def test_a_right_to_a_column_that_was_renamed_is_not_lost(swapped: Database, aoc: Aoc) -> None:
    """A column that has another name in the view keeps its rights in the table, and is no difference."""
    swapped.run("ALTER VIEW advisory RENAME title TO headline")
    before = privileges(swapped, BACKUP)

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, "view-changed-since" in ran.slugs()) == (0, False)
    assert privileges(swapped, "advisory") == before


def test_each_difference_is_a_line(swapped: Database, aoc: Aoc) -> None:
    """plan says beforehand which rights would follow, a line each; so does the report of the downgrade."""
    swapped.run(CHANGES)

    planned, ran = aoc.json("plan", "concelier", "concelier_0007"), aoc.json("downgrade", "-1")

    for report in (planned.report, ran.report):
        lines = [f["problem"] for f in report["findings"] if f["slug"] == "view-changed-since"]
        assert len(lines) == len(LINES)
        assert {line.partition(": ")[2].rstrip(".") for line in lines} == LINES
    assert (ran.exit_code, ran.slugs("error")) == (0, [])


def test_the_script_prints_each_difference(swapped: Database, aoc: Aoc) -> None:
    """The psql script prints the same lines as warnings."""
    swapped.run(CHANGES)
    script = aoc("plan", "concelier", "concelier_0008:concelier_0007", "--sql").out

    ran = psql(swapped, script)

    assert ran.exit_code == 0, ran.err
    assert {
        line.rpartition("WARNING:  advisory: ")[2] for line in ran.err.splitlines() if "SELECT" in line
    } == LINES


def test_what_the_table_granted_itself_stays(swapped: Database, aoc: Aoc) -> None:
    """What was granted and revoked on the backup itself stays, whatever the view grants."""
    swapped.run(f"GRANT SELECT ON {BACKUP} TO direct; REVOKE SELECT ON {BACKUP} FROM stella_reader CASCADE")
    before = privileges(swapped, BACKUP)

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, "view-changed-since" in ran.slugs()) == (0, False)
    assert privileges(swapped, "advisory") == before


def test_another_owner_of_the_view_is_a_line(swapped: Database, aoc: Aoc) -> None:
    """The table keeps its owner; that the view had another one is said, and costs that role no right."""
    swapped.run("GRANT UPDATE ON advisory_backup_20251028 TO lender; GRANT CREATE ON SCHEMA public TO lender")
    swapped.run("ALTER VIEW advisory OWNER TO lender; GRANT SELECT ON advisory TO stella_concelier")

    ran = aoc.json("downgrade", "-1")

    assert ran.exit_code == 0, ran.out
    assert ("stella_concelier", "lender", True, None) in readers(swapped, "advisory")
    lines = [f["problem"] for f in ran.report["findings"] if f["slug"] == "view-changed-since"]
    assert "it belongs to lender, and the table to stella_concelier, which stays so." in lines[-1]
    assert [line for line in lines if "TO stella_concelier" in line] == []


def test_an_owner_who_may_lock_nothing_is_named_first(swapped: Database, aoc: Aoc) -> None:
    """PostgreSQL locks a view's table as the view's owner: if that role may not, the report says so."""
    swapped.run("GRANT CREATE ON SCHEMA public TO lender; ALTER VIEW advisory OWNER TO lender")

    stopped = aoc.json("downgrade", "-1")
    swapped.run("ALTER VIEW advisory OWNER TO stella_concelier")

    assert (stopped.exit_code, stopped.slugs("error")) == (1, ["swap-back-conflict"])
    assert "it belongs to lender, whose rights are too few" in stopped.finding("swap-back-conflict")["problem"]
    assert aoc("downgrade", "-1").exit_code == 0


def test_an_owner_whose_rights_are_not_used_may_lock_nothing(swapped: Database, aoc: Aoc) -> None:
    """A view that runs with its caller's rights locks its table with them too, whoever owns it."""
    swapped.run("GRANT CREATE ON SCHEMA public TO lender; ALTER VIEW advisory SET (security_invoker = true)")
    swapped.run("ALTER VIEW advisory OWNER TO lender")

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])


def test_a_dropped_view_revokes_nothing(swapped: Database, aoc: Aoc) -> None:
    """If somebody has dropped the view, the table keeps the rights that it has."""
    before = privileges(swapped, BACKUP)
    swapped.run("DROP VIEW advisory")

    assert aoc("downgrade", "-1").exit_code == 0
    assert privileges(swapped, "advisory") == before


def test_a_grantor_whom_we_cannot_be_stops_no_rollback(swapped: Database, aoc: Aoc) -> None:
    """For a role that we may not act as, the owner grants; what that role revoked stays. The report says so."""
    migrator = make_role(swapped, "migrator", "LOGIN PASSWORD 's' IN ROLE stella_concelier")
    swapped.run(f"GRANT CREATE ON SCHEMA public TO {migrator}, stella_concelier")
    for table in (
        "advisory_raw",
        *(r[0] for r in swapped.rows("SELECT relname FROM pg_class WHERE relname LIKE 'aoc%' AND relkind = 'r'")),
    ):
        swapped.run(f"ALTER TABLE {table} OWNER TO {migrator}")
    for function in swapped.rows("SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'advisory_raw%'"):
        swapped.run(f"ALTER FUNCTION {function[0]} OWNER TO {migrator}")
    swapped.run(
        "SET ROLE lender; GRANT SELECT ON advisory TO direct; REVOKE SELECT ON advisory FROM late; RESET ROLE"
    )
    aoc.environment["CONCELIER_DATABASE_URL"] = swapped.url_as("migrator", "s")
    try:
        ran = aoc.json("downgrade", "-1")
        found = readers(swapped, "advisory")
    finally:
        swapped.run("REASSIGN OWNED BY migrator TO CURRENT_USER; DROP OWNED BY migrator; DROP ROLE migrator")

    assert ran.exit_code == 0, ran.out
    assert {r for r in found if r[1] in ("direct", "late")} == {
        ("stella_concelier", "direct", False, None),
        ("lender", "late", False, None),
    }
    lines = sorted(
        f["problem"].partition(": ")[2] for f in ran.report["findings"] if f["slug"] == "view-changed-since"
    )
    assert lines == [
        "GRANT SELECT TO direct GRANTED BY lender, which the table's owner grants: we may not act as lender.",
        "REVOKE SELECT FROM late GRANTED BY lender, which the table does not follow: we may not act as lender.",
    ]
