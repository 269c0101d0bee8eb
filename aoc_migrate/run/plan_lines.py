"""The lines of a plan: Steps of one kind and one transaction, with their lock, what they read and how long."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from aoc_migrate.contract.model import Contract, Index
from aoc_migrate.database import catalog
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import tree
from aoc_migrate.inspect.cost import Costs, Effect, effect_on
from aoc_migrate.operations.check_steps import not_null
from aoc_migrate.operations.partitioned_index import expected
from aoc_migrate.operations.plan_words import change, words
from aoc_migrate.operations.step import BUILDS, Batches, Kind, Lock, Step, strongest
from aoc_migrate.operations.supersedes.statements import batch, set_back
from aoc_migrate.report.facts.planning import PlannedStep

_LOCKS = {
    Lock.NONE: "-",
    Lock.ROWS: "rows",
    Lock.SHARE_UPDATE_EXCLUSIVE: "SHARE UPDATE EXCLUSIVE",
    Lock.ACCESS_EXCLUSIVE: "ACCESS EXCLUSIVE",
}
_LOCKS_BY_KIND = {Kind.MAKE_INDEX: "SHARE", Kind.ATTACH_INDEX: "ACCESS EXCLUSIVE on the index"}


def lines(
    contract: Contract, revision: str, steps: tuple[Step, ...], costs: Costs | None, partitioned: Session | None
) -> Iterator[PlannedStep]:
    """Yield the lines for Steps that run together, with size and time if ``costs`` are known.

    ``partitioned``: the session, if the raw table is partitioned. Then an index is made in several steps, and NOT
    NULL is set column by column; how it is dropped depends on each partition, so that line has no SQL.
    """
    for kind, some in groupby(steps, lambda step: step.kind):
        alike = tuple(some)
        if partitioned and kind in (*BUILDS, Kind.DROP_INDEX):
            yield from _of_partitions(partitioned, contract, revision, alike[0], costs)
        elif partitioned and kind is Kind.SET_NOT_NULL:
            names = catalog.nullable(partitioned, contract.table, alike[0].objects)
            by_column = tuple(not_null(alike[0].relation, [name]) for name in names)
            yield from [_line(contract, revision, by_column, costs)] if names else []
        elif partitioned and kind in (Kind.DROP_NOT_NULL, Kind.INVALIDATE_NOT_NULL):
            yield replace(_line(contract, revision, alike, costs), sql=())
        else:
            yield _line(contract, revision, alike, costs)


def _line(contract: Contract, revision: str, steps: tuple[Step, ...], costs: Costs | None) -> PlannedStep:
    kind, names = steps[0].kind, tuple(name for step in steps for name in step.objects)
    effect = max((effect_on(contract, step) for step in steps), key=list(Effect).index)
    estimated = costs.estimate(contract, steps) if costs else None
    return PlannedStep(
        change(kind),
        revision,
        words(kind, names),
        _LOCKS_BY_KIND.get(kind) or _LOCKS[strongest(steps)],
        effect.value,
        size_bytes=costs.reads_bytes(effect) if costs else None,
        estimated_ms=None if estimated is None else round(estimated),
        objects=names,
        sql=tuple(statement for step in steps for statement in _statements(step)),
    )


def _of_partitions(
    session: Session, contract: Contract, revision: str, step: Step, costs: Costs | None
) -> Iterator[PlannedStep]:
    """Yield the lines for the index of a partitioned table; the time is that of all builds together."""
    if step.kind is Kind.DROP_INDEX:
        sql = (f"DROP INDEX IF EXISTS {step.index}",)
        at_once = replace(step, kind=Kind.DROP_INDEX_AT_ONCE, lock=Lock.ACCESS_EXCLUSIVE, sql=sql)
        yield _line(contract, revision, (at_once,), costs)
        return
    (index,) = (i for i in (contract.idempotency_index(), contract.chain_index()) if i.name == step.objects[0])
    steps = expected(session, step.relation, index)
    for kind in (Kind.MAKE_INDEX, Kind.BUILD_INDEX, Kind.ATTACH_INDEX):
        alike = tuple(each for each in steps if each.kind is kind)
        if not alike:
            continue
        line = _line(contract, revision, alike, costs)
        if kind is Kind.ATTACH_INDEX and _deep(session, step.relation, index):
            line = replace(line, lock=_LOCKS[Lock.ACCESS_EXCLUSIVE])
        if kind is Kind.BUILD_INDEX:
            whole = _line(contract, revision, (step,), costs)
            line = replace(whole, statement=f"{whole.statement} on {len(alike)} partitions", sql=line.sql)
        yield line


def _deep(session: Session, table: Relation, index: Index) -> bool:
    """Return whether partitions have partitions: completing their index locks the table above them as well."""
    return any(node.parent not in (None, table) for node in tree(session, table.name, index))


def _statements(step: Step) -> tuple[str, ...]:
    """Return the statements of a Step; of one that runs in batches, the batch, with $1 for its size."""
    if not isinstance(step, Batches):
        return step.sql
    statement = batch if step.kind is Kind.LINK else set_back
    return (statement(step.contract, Schema(step.relation.schema), step.name, size="$1"),)
