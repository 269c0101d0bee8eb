"""Facts about the chains: how many revisions documents have, and the guide's sample."""

from collections import Counter
from dataclasses import replace
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect.chain_scope import Scope, chains_in, recent


def chain_facts(contract: Contract, sizes: list[Row]) -> dict[str, Any]:
    """Return the facts about chains, from how many documents have so many revisions, the most first.

    ``chain_depths`` are documents by number of revisions, in powers of two; ``largest_chains`` the five greatest
    numbers of revisions, how many documents have so many, and one of them.
    """
    depths = Counter[int]()
    for size in sizes:
        depths[(size["revisions"] - 1).bit_length()] += size["documents"]
    return {
        "rows": sizes[0]["all_rows"] if sizes else 0,
        "linked": sizes[0]["all_linked"] if sizes else 0,
        "chain_depths": {_depth(power): documents for power, documents in sorted(depths.items())},
        "largest_chains": [
            {"revisions": size["revisions"], "documents": size["documents"]}
            | dict(zip(contract.chain_key, size["first"], strict=True))
            for size in sizes[:5]
        ],
    }


def chain_sample(session: Session, contract: Contract, scope: Scope) -> list[Row]:
    """Return the first five rows in order, with their links; from the chain index, where there is one."""
    key, order = ", ".join(contract.chain_key), ", ".join((*contract.chain_key, *contract.chain_order))
    raw = session.schema[contract.table]
    rows = f"SELECT id, {contract.link} FROM {raw}"
    where, values = chains_in(session, contract, replace(scope, since=None))
    where = f"{where} AND upstream_id IS NOT NULL"
    if scope.since is not None:
        found, seconds = recent(session, contract, scope.since)
        documents = f"SELECT DISTINCT {key} FROM {raw} WHERE {where} AND {found} ORDER BY {key} LIMIT 5"
        rows, where, values = f"{rows} JOIN ({documents}) AS recent USING ({key})", "true", [*values, *seconds]
    return session.rows(f"{rows} WHERE {where} ORDER BY {order} LIMIT 5", values)


def _depth(power: int) -> str:
    """Return the numbers of revisions above one power of two, up to the next: 1, 2, 3 to 4, 5 to 8 …."""
    most = 2**power
    return str(most) if most < 3 else f"{most // 2 + 1} to {most}"
