"""The operations of the backfill's revision and of its downgrade."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.bookkeeping import JOURNAL, create_bookkeeping
from aoc_migrate.database.questions import exists
from aoc_migrate.database.state import recorded
from aoc_migrate.operations.facts import forget
from aoc_migrate.operations.registry import operation
from aoc_migrate.operations.step import Batches, Executor, Kind, Lock, Step
from aoc_migrate.operations.supersedes.statements import CHAIN, begin, begin_again, gate


@operation
def backfill_supersedes(run: Executor, table: str, contract: Contract, revision: str) -> None:
    """Set missing and wrong links in batches, with a journal; resumes where it was interrupted.

    Stops with ``retrofit-not-allowed`` unless the flag allows it or no row needs it.
    """
    at, raw = run.schema, run.schema[table]
    run.run(
        Batches(
            Kind.LINK,
            raw,
            (table,),
            Lock.ROWS,
            (create_bookkeeping(at, JOURNAL), begin(contract, at, revision)),
            needed=f"NOT {recorded(at, revision, '''(value->>'done')::boolean''')}",
            contract=contract,
            name=revision,
            gate=gate(contract, at),
        )
    )


@operation
def restore_supersedes(run: Executor, table: str, contract: Contract, revision: str) -> None:
    """Set back the links of the backfill, the latest batch first; rows changed since are left alone."""
    at, journal = run.schema, run.schema[JOURNAL]
    there = exists(journal)
    again = (begin_again(contract, at, revision),)
    run.run(Batches(Kind.SET_BACK, at[table], (table,), Lock.ROWS, again, there, contract=contract, name=revision))
    drop = f"DROP TABLE IF EXISTS {journal}"
    run.run(
        Step(Kind.DROP_BOOKKEEPING, journal, (JOURNAL,), Lock.NONE, (drop,), there),
        forget(at, revision),
        forget(at, CHAIN),
    )
