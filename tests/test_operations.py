"""What operations make of their arguments: the Steps that a revision of the next contract would get."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from alembic import op

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.relation import Schema
from aoc_migrate.operations.step import Kind, Step
from aoc_migrate.revisions.revision_sql import collect

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
