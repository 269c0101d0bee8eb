"""Steps: one statement each, named in its revision, needed only where the catalog lacks what it makes."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from alembic import op

from aoc_migrate.contract.v1 import ADVISORY_RAW, VEX_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.questions import QUESTIONS
from aoc_migrate.database.relation import VARIABLE, Relation, Schema
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.index_steps import definition
from aoc_migrate.operations.step import Kind, Lock, Step, shown
from aoc_migrate.psql.sections import _group
from aoc_migrate.revisions.graph import Revision, history
from aoc_migrate.revisions.revision_sql import collect, render
from aoc_migrate.run.alembic_env import operations
from tests.conftest import ROOT, Aoc, Database

PUBLIC = Schema("public")
CONTRACTS = {"concelier": ADVISORY_RAW, "excititor": VEX_RAW}
REVISIONS = [revision for target in CONTRACTS for revision in history(target)]


FOUND = """CREATE FUNCTION pg_temp.aoc_found(name text) RETURNS jsonb LANGUAGE sql AS
    'SELECT value FROM public.aoc_migration_state AS s WHERE s.name = $1'"""


READ = (
    r"""\["statement"\]|get\("statement"\)|in [\w.]*(name_in_reports|title\()"""
    r"""|name_in_reports\.\w|title\([^)]*\)\."""
)


def steps(revision: Revision, function: str, schema: Schema = PUBLIC) -> list[Step]:
    """Return the Steps of a revision, one after the other."""
    return [step for group in collect(revision, function, schema, None) for step in group]


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.id)
@pytest.mark.parametrize("function", ["upgrade", "downgrade"])
def test_a_revision_names_what_it_makes(revision: Revision, function: str) -> None:
    """Table, constraints and indexes of each Step are in the file of the revision; only functions follow."""
    text = revision.path.read_text(encoding="utf-8")
    implied = (
        Kind.CREATE_FUNCTION,
        Kind.GRANT_EXECUTE,
        Kind.DROP_FUNCTION,
        Kind.ADD_COLUMN,
        Kind.DROP_BOOKKEEPING,
        Kind.MAKE_READ_ONLY,
    )
    columns = (Kind.VALIDATE_NOT_NULL, Kind.SET_NOT_NULL, Kind.DROP_NOT_NULL, Kind.INVALIDATE_NOT_NULL)
    named = [step for step in shown(steps(revision, function)) if step.kind not in (*implied, *columns)]

    assert {step.relation.name for step in named if f'"{step.relation.name}"' not in text} == set()
    assert {name for step in named for name in step.objects if f'"{name}"' not in text} == set()


@pytest.mark.parametrize("function", ["upgrade", "downgrade"])
def test_the_statements_name_the_objects(function: str) -> None:
    """What a Step says that it makes, changes or drops is named in its statements; some columns they find."""
    columns = {column.name for contract in CONTRACTS.values() for column in contract.columns}
    of_all = [step for revision in REVISIONS for step in steps(revision, function)]
    written = [step for step in of_all if step.kind not in (Kind.LINK, Kind.SET_BACK)]

    missing = {name for step in written for name in step.objects if name not in " ".join(step.sql)}
    assert missing <= columns


@pytest.mark.parametrize("target", CONTRACTS)
def test_revisions_make_the_contract(target: str) -> None:
    """What revisions name is what the contract asks for: every CHECK once, and both indexes as it defines them."""
    contract = CONTRACTS[target]
    made = [step for revision in history(target) for step in steps(revision, "upgrade")]
    indexes = (contract.idempotency_index(), contract.chain_index())
    raw = PUBLIC[contract.table]

    assert sorted(name for s in made if s.kind is Kind.ADD_CHECK for name in s.objects) == sorted(
        check.name for check in contract.checks()
    )
    assert [s.sql[0] for s in made if s.kind in (Kind.BUILD_INDEX, Kind.BUILD_UNIQUE_INDEX)] == [
        definition(index, PUBLIC[index.name], str(raw), "CONCURRENTLY ") for index in indexes
    ]


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.id)
@pytest.mark.parametrize("function", ["upgrade", "downgrade"])
def test_a_transaction_locks_one_table(revision: Revision, function: str) -> None:
    """Steps that share a transaction lock one table; a step that may not be in a transaction is alone."""
    for group in collect(revision, function, PUBLIC, None):
        locked = [step for step in group if step.lock is not Lock.NONE]
        assert len({step.relation for step in locked}) <= 1
        assert len(group) == 1 or all(step.lock in (Lock.NONE, Lock.ACCESS_EXCLUSIVE) for step in group)


def asked(database: Database, function: str, *revisions: Revision) -> dict[str, tuple[bool, str | None]]:
    """Return whether the catalog needs each Step now, and the objection to it; of some revisions or of all."""
    database.run("SET search_path = pg_catalog, pg_temp")
    found = dict[str, tuple[bool, str | None]]()
    for revision in revisions or history(database.target):
        for step in steps(revision, function):
            needed = bool(database.value(f"SELECT {step.needed}"))
            reason = database.value(f"SELECT {step.objection.reason}") if step.objection else None
            name = f"{revision.id} {step.kind.name} {step.objects}"
            found[name] = needed or found.get(name, (False,))[0], reason
    database.run("RESET search_path")
    return found


def test_no_step_is_needed_at_its_goal(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """At head no Step of an upgrade is needed, and back at base no Step of a downgrade, nor a fact for one."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    up = asked(target_with_chain, "upgrade")
    assert aoc("downgrade", target_with_chain.target, "base").exit_code == 0
    down = asked(target_with_chain, "downgrade")

    facts = target_with_chain.rows("SELECT name, value FROM aoc_migration_state")
    assert facts == [("target", {"name": target_with_chain.target})]
    assert [name for name, answer in (*up.items(), *down.items()) if answer != (False, None)] == []


ELSEWHERE = {
    "0003 VALIDATE_NOT_NULL": "somebody had left a NOT NULL NOT VALID",
    "0003 INVALIDATE_NOT_NULL": "and it is left so again",
    "0004 DROP_INDEX": "a killed build had left an INVALID index",
    "0005 DROP_INDEX": "a killed build had left an INVALID index",
    "0006 FORGET": "the backfill was interrupted",
    "0007 VALIDATE": "only at the end of the revision is it there to be proven",
    "0008 MAKE_READ_ONLY": "the view is made with its trigger",
    "0008 USE_INVOKER": "the table has policies",
}
"""Steps that a usual table does not need, and what makes one need them."""


def test_each_step_is_needed_before_it_runs(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Before a revision runs, up or down, its Steps are needed, but for those of another situation."""
    target, revisions = target_with_chain.target, list(history(target_with_chain.target))
    assert aoc("upgrade", target, revisions[0].id).exit_code == 0
    lacking = []
    ways = [("upgrade", revisions[1:], "+1"), ("downgrade", revisions[::-1], "-1")]
    for function, through, goal in ways:
        for revision in through:
            answers = asked(target_with_chain, function, revision)
            lacking += [name for name, (needed, _) in answers.items() if not needed]
            assert aoc(function, target, goal, **retrofit).exit_code == 0

    assert [line for line in lacking if not line.removeprefix(f"{target}_").startswith(tuple(ELSEWHERE))] == []


def test_a_script_asks_what_the_command_asks(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A question written out, and the pg_temp function that answers it in a script, give the same answer."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    target_with_chain.run("SET search_path = pg_catalog, pg_temp")
    for function in (FOUND, *(question.function for question in QUESTIONS)):
        target_with_chain.run(function)
    answers = []
    for revision in history(target_with_chain.target):
        for function in ("upgrade", "downgrade"):
            online = steps(revision, function)
            script = steps(revision, function, VARIABLE)
            for one, other in zip(online, script, strict=True):
                asked = other.needed.replace(str(VARIABLE), '"public"')
                answers.append(target_with_chain.value(f"SELECT {one.needed}"))
                assert target_with_chain.value(f"SELECT {asked}") == answers[-1], other.needed
    target_with_chain.run("RESET search_path")

    assert {True, False} <= set(answers)


def stock() -> Any:
    """Return a revision in which Alembic's own operations and ours take turns."""

    def upgrade() -> None:
        here = op.get_context().version_table_schema
        op.create_table("vex_notes", sqlalchemy.Column("tenant", sqlalchemy.Text), schema=here)
        op.create_index_concurrently(  # type: ignore[attr-defined]
            "vex_notes_tenant", "vex_notes", ["tenant"], revision="excititor_notes"
        )
        op.execute(f"COMMENT ON TABLE {here}.vex_notes IS 'made by both'")

    return SimpleNamespace(module=SimpleNamespace(upgrade=upgrade))


def test_stock_operations_run_with_ours(excititor: Database, aoc: Aoc) -> None:
    """Alembic's own operations run together with ours in one revision."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    target = Target("excititor", excititor.url)
    with connect(target, "test", Limits(), Flags()) as session, runner_lock(session), operations(session):
        stock().module.upgrade()

    assert excititor.value("SELECT obj_description('vex_notes'::regclass)") == "made by both"
    assert excititor.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'vex_notes_tenant'::regclass")


def test_printed_stock_operations_keep_their_place() -> None:
    """Printed and collected, Alembic's own operations keep their place between ours."""
    printed = render(stock(), "upgrade")
    kinds = [group[0].kind for group in collect(stock(), "upgrade", PUBLIC, None)]

    places = [
        printed.index(text) for text in ("CREATE TABLE public.vex_notes", "INDEX CONCURRENTLY", "COMMENT ON")
    ]
    assert places == sorted(places)
    assert kinds == [Kind.STOCK, Kind.RECORD, Kind.DROP_INDEX, Kind.BUILD_INDEX, Kind.STOCK]


def test_a_script_keeps_stock_operations() -> None:
    """In a psql script a stock operation is a statement by itself, with the schema as psql's variable."""
    first, *_ = collect(stock(), "upgrade", VARIABLE, None)

    assert _group(first)["form"] == "stock"
    assert 'CREATE TABLE :"schema".vex_notes' in _group(first)["sql"]


def test_nobody_reads_a_label() -> None:
    """Only the code that shows and stores reports reads a step's label."""
    readers = ROOT / "aoc_migrate" / "report", ROOT / "aoc_migrate" / "revisions" / "read_back.py"
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "aoc_migrate").rglob("*.py")
        if not any(path.is_relative_to(reader) for reader in readers)
        and re.search(READ, path.read_text(encoding="utf-8"))
    ]

    assert wrong == []


def test_steps_are_equal_and_immutable() -> None:
    """Two Steps with the same fields are equal, and none can be changed."""
    step = Step(Kind.ADD_CHECK, Relation("public", "vex_raw"), ("a",), Lock.ACCESS_EXCLUSIVE, ("ALTER",))

    assert step == replace(step)
    with pytest.raises(AttributeError):
        step.lock = Lock.NONE  # type: ignore[misc]
