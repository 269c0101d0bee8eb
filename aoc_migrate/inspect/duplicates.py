"""The duplicate audit: groups of rows with one idempotency key.

A 64-bit hash of the key finds candidates in one cheap sort; only those are grouped by the whole key, so the
result is exact (`reference/limits.md` 4). The verdict is over all groups, the sample over the largest.
"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.model import Finding, make

IDS_SHOWN = 20


def audit_duplicates(session: Session, contract: Contract, limit: int) -> Iterator[Finding]:
    """Yield ``duplicate-key`` and ``null-key``, each with counts over every row."""
    key = ", ".join(contract.idempotency_key)
    nulls = " OR ".join(f"{c} IS NULL" for c in contract.idempotency_key)
    groups = session.rows(
        duplicates(contract, "count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows"), (limit,)
    )
    if groups:
        sample = [
            {**{c: g[c] for c in contract.idempotency_key}, "count": g["n"], "ids": g["ids"]} for g in groups
        ]
        yield make(
            "duplicate-key",
            contract.table,
            target=session.target.name,
            count=groups[0]["groups"],
            rows=groups[0]["rows"],
            statement=session.pasteable(
                f"SELECT {key}, count(*), array_agg(id) FROM {contract.table} "
                f"WHERE NOT ({nulls}) GROUP BY {key} HAVING count(*) > 1"
            ),
            sample=sample,
        )
    rows = session.value(f"SELECT count(*) FROM {contract.table} WHERE {nulls}")
    if rows:
        statement = f"SELECT id FROM {contract.table} WHERE {nulls}"
        sample = session.rows(f'{statement} ORDER BY id COLLATE "C" LIMIT %s', (limit,))
        shown = session.pasteable(statement)
        yield make(
            "null-key",
            contract.table,
            target=session.target.name,
            count=rows,
            rows=rows,
            statement=shown,
            sample=sample,
        )


def duplicates_by_vendor(session: Session, contract: Contract) -> list[Row]:
    """Return groups and rows with one idempotency key for each vendor, over all groups."""
    groups = duplicates(contract, "NULL AS total").replace("LIMIT %s", "")
    return session.rows(
        "SELECT source_vendor, count(*) AS groups, sum(n)::bigint AS rows "
        f'FROM ({groups}) AS found GROUP BY source_vendor ORDER BY rows DESC, source_vendor COLLATE "C"'
    )


def duplicate_digests(contract: Contract) -> tuple[str, str]:
    """Return the digest of the key as an expression, and the CTE of the digests that more than one row has."""
    digest = "0"
    for column in contract.idempotency_key:
        digest = f"hashtextextended({column}, {digest})"
    return (
        digest,
        f"""candidates AS MATERIALIZED (
  SELECT DISTINCT digest FROM (
    SELECT digest, lag(digest) OVER (ORDER BY digest) AS before
    FROM (SELECT {digest} AS digest FROM {contract.table} OFFSET 0) AS digests
  ) AS neighbours WHERE digest = before
)""",
    )


def duplicates(contract: Contract, totals: str) -> str:
    """Return the query for duplicate groups, largest first; one parameter, the number of groups shown."""
    key = ", ".join(contract.idempotency_key)
    order = ", ".join(f'{c} COLLATE "C"' for c in contract.idempotency_key)
    digest, candidates = duplicate_digests(contract)
    return f"""WITH {candidates}, groups AS (
  SELECT {key}, count(*) AS n,
    (array_agg(id ORDER BY {", ".join(contract.chain_order)}))[1:{IDS_SHOWN}] AS ids
  FROM {contract.table} WHERE {digest} IN (SELECT digest FROM candidates)
  GROUP BY {key} HAVING count(*) > 1
)
SELECT *, {totals} FROM groups ORDER BY n DESC, {order} LIMIT %s"""
