"""Facts about chains: how many revisions documents have, and the sample that the guide asks for."""

from collections import Counter
from dataclasses import replace

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect.chain_scope import Scope, chains_in
from aoc_migrate.report.facts.chains import ChainFacts, LargestChain, LinkedRow


def chain_facts(contract: Contract, sizes: list[Row], sample: tuple[LinkedRow, ...]) -> ChainFacts:
    """Return the facts about chains. ``sizes``: how many documents have how many revisions, longest first."""
    depths = Counter[int]()
    for size in sizes:
        depths[(size["revisions"] - 1).bit_length()] += size["documents"]
    largest = (
        LargestChain(
            size["revisions"], size["documents"], **dict(zip(contract.chain_key, size["first"], strict=True))
        )
        for size in sizes[:5]
    )
    return ChainFacts(
        sizes[0]["all_rows"] if sizes else 0,
        sizes[0]["all_linked"] if sizes else 0,
        {_depth(power): documents for power, documents in sorted(depths.items())},
        tuple(largest),
        sample,
    )


def chain_sample(session: Session, contract: Contract, scope: Scope, sizes: list[Row]) -> tuple[LinkedRow, ...]:
    """Return the first five rows in chain order, with their links. The chain index serves this, if it exists.

    For recent documents, they are rows of the first document of each size: to find the first five documents, the
    whole index would be read.
    """
    key, order = ", ".join(contract.chain_key), ", ".join((*contract.chain_key, *contract.chain_order))
    rows = f"SELECT id, {contract.link} FROM {session.schema[contract.table]}"
    where, values = chains_in(session, contract, replace(scope, since=None))
    if scope.since is not None:
        first = sorted(size["first"] for size in sizes)[:5]
        values |= {f"first_{c}": [document[n] for document in first] for n, c in enumerate(contract.chain_key)}
        listed = ", ".join(f"%(first_{column})s::text[]" for column in contract.chain_key)
        rows = f"{rows} JOIN unnest({listed}) AS documents ({key}) USING ({key})"
    sample = session.rows(f"{rows} WHERE {where} ORDER BY {order} LIMIT 5", values)
    return tuple(LinkedRow(row["id"], row[contract.link]) for row in sample)


def _depth(power: int) -> str:
    """Return a range of numbers of revisions that ends at a power of two: 1, 2, 3 to 4, 5 to 8 …."""
    last = 2**power
    return str(last) if power < 2 else f"{last // 2 + 1} to {last}"
