"""What operations make of their arguments: the Steps that a revision of the next contract would get."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.render import comment
from aoc_migrate.operations.step import BUILDS, CONCURRENTLY, Kind, Lock, Step, objects_left, title
from aoc_migrate.operations.step_reads import count_reads
from aoc_migrate.revisions.revision_sql import collect
from tests.conftest import Aoc, Database
from tests.hostile import stranger
from tests.test_lifecycle import alembic

ours: Any = op


def made(operation: Callable[[], None]) -> list[Step]:
    """Return the Steps of a revision that does only this."""
    revision: Any = SimpleNamespace(module=SimpleNamespace(upgrade=operation))
    return [step for group in collect(revision, "upgrade", Schema("public"), None) for step in group]


def test_a_rule_without_a_function_is_only_a_constraint() -> None:
    """A CHECK that calls no function is added and dropped alone."""
    rule = ["vex_raw_required_v1"]

    added = made(lambda: ours.add_checks("vex_raw", rule, contract=VEX_RAW))
    dropped = made(lambda: ours.drop_checks("vex_raw", rule, contract=VEX_RAW))

    assert [step.kind for step in added] == [Kind.ADD_CHECK]
    assert [step.kind for step in dropped] == [Kind.DROP_CHECK]


def test_an_objection_names_the_constraint_with_its_table() -> None:
    """What prevents a CHECK is named as PostgreSQL finds it: the table, then the constraint."""
    (step,) = made(lambda: ours.add_checks("vex_raw", ["vex_raw_required_v1"], contract=VEX_RAW))

    assert step.objection
    assert step.objection.subject == "vex_raw.vex_raw_required_v1"


def test_whole_reads_of_the_raw_table_are_counted(excititor: Database) -> None:
    """A proof reads the table once, a build twice, a drop never; a partition's reads are part of the table's."""
    session = Session(Target("excititor", "", "public"), excititor.connection, "test")
    once, twice = (Kind.VALIDATE, Kind.VALIDATE_NOT_NULL), (*BUILDS, Kind.REBUILD_INDEX, Kind.MAKE_INDEX)
    of_all = [
        Step(kind, table, ("x",), Lock.NONE, ())
        for table in (session.raw, Relation("public", "vex_raw_a"))
        for kind in (*once, *twice, Kind.DROP_INDEX)
    ]

    count_reads(session, of_all)

    assert session.full_reads == {"proofs": 2, "index builds": 8}


def test_steps_of_one_kind_share_a_title() -> None:
    """A title names what is done to which objects of which table; the table itself is named once."""
    raw, no_lock = Relation("public", "vex_raw"), (Lock.NONE, ("SELECT",))
    added = [Step(Kind.ADD_CHECK, raw, (name,), *no_lock) for name in ("a", "b")]

    assert title([Step(Kind.CREATE_TABLE, raw, ("vex_raw",), *no_lock), *added]) == (
        "CREATE TABLE vex_raw; ADD CONSTRAINT a, b ON vex_raw"
    )


def test_what_runs_outside_a_transaction_says_so() -> None:
    """The kinds that PostgreSQL refuses in a transaction are those with CONCURRENTLY in their names."""
    named = {kind: kind.name_in_reports for kind in Kind if "CONCURRENTLY" in kind.name_in_reports}

    assert set(CONCURRENTLY) == set(named)
    assert set(BUILDS) == {kind for kind, name in named.items() if name.startswith("CREATE")}


@pytest.mark.parametrize(
    ("kind", "lock", "words"),
    [
        (Kind.CREATE_TABLE, Lock.NONE, "takes no lock on your tables; a fresh installation has no raw table yet"),
        (Kind.LINK, Lock.ROWS, "locks the rows of one batch at a time; in small batches in key order"),
        (Kind.VALIDATE, Lock.SHARE_UPDATE_EXCLUSIVE, "SHARE UPDATE EXCLUSIVE on vex_raw while it runs; one scan"),
        (Kind.ADD_CHECK, Lock.ACCESS_EXCLUSIVE, "ACCESS EXCLUSIVE on vex_raw for an instant; NOT VALID: new rows"),
    ],
)
def test_a_comment_says_what_how_long_and_why(kind: Kind, lock: Lock, words: str) -> None:
    """The comment above a printed statement says what it does, under which lock, for how long, and why."""
    step = Step(kind, Relation("public", "vex_raw"), ("x",), lock, ("SELECT",))

    assert comment([step]).startswith(f"-- {kind.name_in_reports} x ON vex_raw: {words}")


def test_a_revision_that_only_forgets_leaves_nothing(excititor: Database) -> None:
    """What a downgrade forgets is not in the catalog, so none of it is left there."""
    forgotten = made(lambda: ours.keep_raw_table("vex_raw", revision="excititor_0001"))

    assert [step.kind for step in forgotten] == [Kind.FORGET]
    assert excititor.value(f"SELECT {objects_left(forgotten)}") is False


def test_one_step_sets_not_null_of_a_plain_table() -> None:
    """All columns of a plain table become NOT NULL in one statement, under one lock."""
    proof, revision = "vex_raw_required_v1", "excititor_0003"

    steps = made(lambda: ours.set_not_null("vex_raw", contract=VEX_RAW, proof=proof, revision=revision))

    assert [step.objects for step in steps if step.kind is Kind.SET_NOT_NULL] == [VEX_RAW.required]


def test_stock_alembic_makes_the_bookkeeping(excititor: Database, aoc: Aoc) -> None:
    """Alembic by itself makes our tables, says whose schema it is, and lets readers of the raw table read them."""
    aoc.configure(excititor)
    with stranger(excititor, "GRANT SELECT ON vex_raw TO {role}") as reader:
        alembic(excititor, aoc, "upgrade", "excititor_0001")
        assert reader.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0001"
        assert reader.value("SELECT count(*) FROM aoc_migration_hold") == 0

    assert excititor.rows("SELECT name, value FROM aoc_migration_state ORDER BY 1") == [
        ("excititor_0001", {"table_found": True, "link_found": False}),
        ("target", {"name": "excititor"}),
    ]


def test_what_locks_no_table_is_reported_too(excititor: Database, aoc: Aoc) -> None:
    """Functions that are dropped, which locks no table, are in the log, and in the report with the time."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0

    ran = aoc.json("downgrade", "-1")

    *_, last = ran.report["steps"]
    assert last["statement"] == "DROP FUNCTION vex_raw_keys_ok_v1, vex_raw_objects_ok_v1 ON vex_raw"
    assert last["total_ms"] > 0
    assert f"excititor: {last['statement']} …\n" in ran.err


@pytest.mark.alike
@pytest.mark.parametrize("lost", ["aoc_migration_state", "aoc_migration_hold"])
def test_stock_alembic_makes_a_table_that_was_dropped(lost: str, excititor: Database, aoc: Aoc) -> None:
    """Back at base, a table of ours that somebody dropped is made again."""
    aoc.configure(excititor)
    alembic(excititor, aoc, "upgrade", "excititor_0001")
    alembic(excititor, aoc, "downgrade", "base")
    excititor.run(f"DROP TABLE {lost}")

    alembic(excititor, aoc, "upgrade", "excititor_0001")

    assert excititor.value("SELECT to_regclass(%s) IS NOT NULL", [lost])
