"""The audit of the rows where rules and duplicates are both asked: one scan finds out about both.

Beyond memory, a second scan takes longer than whatever the first one computes.
"""

from collections.abc import Generator, Iterable

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import Check
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.duplicates import (
    ROWS_OF_GROUPS,
    audit_duplicates,
    helped_by_index,
    judged_duplicates,
    reported,
)
from aoc_migrate.inspect.row_rules import audit_rows, row_rules, violations_of
from aoc_migrate.report.model import Finding


def audit_rows_and_duplicates(
    session: Session, contract: Contract, checks: list[Check], required: list[str], limit: int
) -> Generator[Finding, None, int | None]:
    """Yield what `audit_rows` and `audit_duplicates` find, after one scan; return the rows, if counted.

    Where an index helps to find duplicates, the table is read for the rules alone. On a cluster both are asked one
    after the other: there each shard counts for itself.
    """
    rules = row_rules(contract, checks, required)
    if not rules or any(helped_by_index(session, contract)) or spread_of(session, contract.table).column:
        rows = yield from audit_rows(session, contract, checks, required, limit)
        yield from audit_duplicates(session, contract, limit, rows)
        return rows
    query = judged_duplicates(contract, str(session.schema[contract.table]), broken_rules(rules))
    doing = f"reading every row of {contract.table}"
    found = read(session, doing, query, (limit,), whole="row rules and duplicates")
    totals, groups = found[0], [row for row in found if row["n"] is not None]
    if totals["candidates"]:
        session.full_reads[ROWS_OF_GROUPS] += 1
    broken = [rule for n, rule in enumerate(rules) if totals["broken"] >> n & 1]
    yield from violations_of(session, contract, rules, broken, totals["checked"], limit)
    yield from reported(session, contract, limit, totals["checked"], totals["nulls"], groups)
    return int(totals["checked"])


def broken_rules(rules: Iterable[str]) -> str:
    """Return an expression over a row: a bit for each of the rules that it breaks, NULL if it breaks none."""
    bits = " | ".join(f"CASE WHEN {rule} THEN {1 << n}::bigint ELSE 0 END" for n, rule in enumerate(rules))
    return f"nullif({bits}, 0)"
