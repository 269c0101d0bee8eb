"""What operations make of their arguments: the Steps that a revision of the next contract would get."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.operations.step import Kind, Lock, Step, title
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


def test_steps_of_one_kind_share_a_title() -> None:
    """A title names what is done to which objects of which table; the table itself is named once."""
    raw, no_lock = Relation("public", "vex_raw"), (Lock.NONE, ("SELECT",))
    added = [Step(Kind.ADD_CHECK, raw, (name,), *no_lock) for name in ("a", "b")]

    assert title([Step(Kind.CREATE_TABLE, raw, ("vex_raw",), *no_lock), *added]) == (
        "CREATE TABLE vex_raw; ADD CONSTRAINT a, b ON vex_raw"
    )


def test_one_step_sets_not_null_of_a_plain_table() -> None:
    """All columns of a plain table become NOT NULL in one statement, under one lock."""
    columns = ["tenant", "linkset"]

    steps = made(
        lambda: ours.set_not_null("vex_raw", columns, proof="vex_raw_required_v1", revision="excititor_0003")
    )

    assert [step.objects for step in steps if step.kind is Kind.SET_NOT_NULL] == [tuple(columns)]


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
