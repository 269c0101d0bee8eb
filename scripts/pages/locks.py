"""The table of locks in docs/operations.md, from the Steps of the revisions."""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.relation import Schema
from aoc_migrate.inspect.cost import Effect, effect_on
from aoc_migrate.operations.step import Kind, Lock, Printed, Step, shown, strongest
from aoc_migrate.revisions.graph import Revision, contract_at, history
from aoc_migrate.revisions.revision_sql import collect

_TARGET = "concelier"
_WORDS = {
    Lock.ROWS: "rows",
    Lock.SHARE_UPDATE_EXCLUSIVE: "weak",
    Lock.ACCESS_EXCLUSIVE: "strong",
}
_TIMES = {
    Effect.PROVE: "one scan without the documents",
    Effect.PROVE_DOCUMENTS: "one scan with the documents",
    Effect.BUILD: "the build and the end of older transactions",
    Effect.LINK: "about 50 ms, never more than a second",
    Effect.SET_BACK: "about 50 ms, never more than a second",
    Effect.INSTANT: "an instant",
}


def table() -> Iterator[str]:
    """Yield the table: for each revision the table that it locks, and its locks up and down."""
    yield "| revision | on | upgrade | downgrade |"
    yield "| --- | --- | --- | --- |"
    for revision in history(_TARGET):
        contract = contract_at(_TARGET, revision.id)
        up, down = (list(_locking(revision, function)) for function in ("upgrade", "downgrade"))
        title = revision.path.stem.removeprefix(f"{revision.id}_").replace("_", " ")
        on = dict.fromkeys(f"`{step.relation.name}`" for steps in (*up, *down) for step in steps if _locks(step))
        cells = [" and ".join(on), _locked(contract, up), _locked(contract, down)]
        yield f"| `{revision.id}` {title} | {' | '.join(cells)} |"
    yield ""


def _locking(revision: Revision, function: str) -> Iterator[list[Step]]:
    """Yield the Steps of each transaction that locks something; those that only repair are left out.

    So is the drop of what an interrupted build has left.
    """
    for group in collect(revision, function, Schema("public"), None):
        steps = [step for step in shown(group) if step.printed is not Printed.NEVER]
        leftover = function == "upgrade" and group[0].kind is Kind.DROP_INDEX
        if any(_locks(step) for step in steps) and not leftover:
            yield steps


def _locks(step: Step) -> bool:
    return step.lock is not Lock.NONE


def _locked(contract: Contract, transactions: list[list[Step]]) -> str:
    """Return the lock of each transaction and its time, each that follows another of the same only once."""
    cells = dict.fromkeys(f"{_WORDS[strongest(some)]}: {_time(contract, some)}" for some in transactions)
    return "; ".join(cells) or "none"


def _time(contract: Contract, steps: list[Step]) -> str:
    if steps[0].kind is Kind.DROP_INDEX:
        return "the end of older transactions"
    return _TIMES[max((effect_on(contract, step) for step in steps), key=list(Effect).index)]
