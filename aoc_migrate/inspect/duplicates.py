"""The duplicate audit: groups of rows with the same idempotency key.

If an index begins with the key, it is read in order. Otherwise a 64-bit hash of the key finds candidates in one
cheap sort, and only those are grouped by the whole key, so the result is exact (`reference/limits.md` 4). The key
contains the tenant: each shard groups its own rows, and only candidates leave it. Counts cover all groups, the
sample shows the largest.
"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database import catalog
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.usable_indexes import usable_indexes
from aoc_migrate.report.facts.raw_rows import VendorDuplicates
from aoc_migrate.report.model import Finding, finding

IDS_SHOWN = 20
TOTALS = "count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows"
_BY_INDEX = dict.fromkeys(
    [f"enable_{way}" for way in ("seqscan", "bitmapscan", "hashagg", "hashjoin", "mergejoin")], "off"
)


def audit_duplicates(session: Session, contract: Contract, limit: int, rows: int | None) -> Iterator[Finding]:
    """Yield ``duplicate-key`` and ``null-key``, each with counts over every row: ``rows``, if that is known."""
    nulls, groups = find(session, contract, limit)
    session.checked("no two rows share an idempotency key", rows, "rows", groups[0]["rows"] if groups else 0)
    session.checked("no idempotency key has a NULL", rows, "rows", nulls)
    if groups:
        yield _duplicate_key(session, contract, groups)
    if nulls:
        statement = f"SELECT id FROM {session.schema[contract.table]} WHERE {_null(contract)}"
        shown = session.pasteable(statement)
        sample = session.rows(f'{statement} ORDER BY id COLLATE "C" LIMIT %s', (limit,))
        yield finding(
            "null-key",
            contract.table,
            target=session.target.name,
            count=nulls,
            rows=nulls,
            statement=shown,
            sample=sample,
        )


def find(session: Session, contract: Contract, limit: int) -> tuple[int, list[Row]]:
    """Return how many rows lack a part of the key, and the largest groups, in one read of table or index.

    A unique index over the key, or over a part of it, leaves no group; then only NULLs are counted, if any.
    """
    indexes = usable_indexes(session, contract.table)
    if any(_proves(index, contract) for index in indexes):
        nullable = catalog.nullable(session, contract.table, contract.idempotency_key)
        counted = f"SELECT count(*) FROM {session.schema[contract.table]} WHERE {_null(contract)}"
        return session.value(counted) if nullable else 0, []
    order = next((columns for index in indexes if (columns := _orders(index, contract))), None)
    settings = _BY_INDEX if order else None
    column = spread_of(session, contract.table).column
    query = duplicates_and_nulls(contract, str(session.schema[contract.table]), order, column)
    rows = read(session, "looking for duplicates", query, (limit,), settings)
    return rows[0]["nulls"], [row for row in rows if row["n"] is not None]


def _proves(index: Row, contract: Contract) -> bool:
    return index["unique"] and set(index["columns"]) <= set(contract.idempotency_key)


def _orders(index: Row, contract: Contract) -> list[str] | None:
    """Return the key in the order of an index that begins with it and is fit for an index-only scan."""
    columns: list[str] = index["columns"][: len(contract.idempotency_key)]
    return columns if set(columns) == set(contract.idempotency_key) and index["visible"] else None


def _duplicate_key(session: Session, contract: Contract, groups: list[Row]) -> Finding:
    key = ", ".join(contract.idempotency_key)
    return finding(
        "duplicate-key",
        contract.table,
        target=session.target.name,
        count=groups[0]["groups"],
        rows=groups[0]["rows"],
        statement=session.pasteable(
            f"SELECT {key}, count(*), array_agg(id) FROM {session.schema[contract.table]} "
            f"WHERE NOT ({_null(contract)}) GROUP BY {key} HAVING count(*) > 1"
        ),
        sample=[{**{c: g[c] for c in contract.idempotency_key}, "count": g["n"], "ids": g["ids"]} for g in groups],
    )


def _null(contract: Contract) -> str:
    return " OR ".join(f"{column} IS NULL" for column in contract.idempotency_key)


def _largest(contract: Contract) -> str:
    return ", ".join(["n DESC", *(f'{column} COLLATE "C"' for column in contract.idempotency_key)])


def duplicates_by_vendor(session: Session, contract: Contract) -> tuple[VendorDuplicates, ...]:
    """Return the duplicate groups of each vendor and their rows, over all groups."""
    column = spread_of(session, contract.table).column
    query = (
        f"WITH {_groups(contract, str(session.schema[contract.table]), column=column)[1]} SELECT source_vendor, "
        "count(*) AS groups, sum(n)::bigint AS rows FROM groups GROUP BY source_vendor "
        'ORDER BY rows DESC, source_vendor COLLATE "C"'
    )
    found = read(session, "counting duplicates of each vendor", query)
    return tuple(VendorDuplicates(**row) for row in found)


def candidates(digest: str, source: str, column: str | None = None) -> str:
    """Return the CTE ``candidates``: each ``digest`` of more than one row of ``source``, with their number ``n``.

    The digest NULL counts the rows that lack a part of the key. Sorting integers is faster than hashing them,
    and a sort that does not fit into memory costs little more. ``column``: the one that ``source`` is distributed
    by, if it is; each shard then groups its own rows, and the digest must depend on it.
    """
    if column:
        grouped = f"SELECT {digest} AS digest, count(*) AS n FROM {source} GROUP BY {column}, {digest}"
        return f"candidates AS MATERIALIZED (\n  {grouped} HAVING count(*) > 1 OR {digest} IS NULL\n)"
    return f"""candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT {digest} AS digest FROM {source} ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
)"""


def _groups(
    contract: Contract, source: str, order: list[str] | None = None, column: str | None = None
) -> tuple[str, str]:
    """Return a query that counts the rows that lack a part of the key, and the CTEs that end in ``groups``.

    ``order`` is the key in the order of an index; see `candidates` for ``column``. Without candidates the table is
    not read again.
    """
    key = ", ".join(order or contract.idempotency_key)
    if order:
        first = f"""candidates AS MATERIALIZED (
  SELECT {key}, count(*) AS n FROM {source} GROUP BY {key} HAVING count(*) > 1 OR {_null(contract)}
)"""
        null, rows = _null(contract), f"FROM candidates JOIN {source} USING ({key}) WHERE"
    else:
        digest = key_hash(contract.idempotency_key)
        first = candidates(digest, source, column)
        null, rows = "digest IS NULL", f"FROM {source} WHERE {digest} IN (SELECT digest FROM candidates) AND"
    ids = f"(array_agg(id ORDER BY {', '.join(contract.chain_order)}))[1:{IDS_SHOWN}]"
    return (
        f"SELECT coalesce(sum(n), 0)::bigint AS nulls FROM candidates WHERE {null}",
        f"""{first}, groups AS (
  SELECT {key}, count(*) AS n, {ids} AS ids
  {rows} EXISTS (SELECT FROM candidates WHERE NOT ({null}))
  GROUP BY {key} HAVING count(*) > 1
)""",
    )


def duplicates(contract: Contract, source: Relation) -> str:
    """Return the query for duplicate groups, largest first, each with the number of ``groups``."""
    _, ctes = _groups(contract, str(source))
    return f"WITH {ctes}\nSELECT *, {TOTALS} FROM groups ORDER BY {_largest(contract)}"


def duplicates_and_nulls(
    contract: Contract, source: str, order: list[str] | None = None, column: str | None = None
) -> str:
    """Return the query for groups, largest first, with ``nulls``, the rows that lack a part of the key.

    See `_groups` for ``order`` and ``column``. Without groups it returns one row whose ``n`` is NULL. Its one
    parameter caps the groups.
    """
    lacking, ctes = _groups(contract, source, order, column)
    return f"""WITH {ctes}
SELECT nulls, found.* FROM ({lacking}) AS lacking LEFT JOIN (
  SELECT *, {TOTALS} FROM groups ORDER BY {_largest(contract)} LIMIT %s
) AS found ON true ORDER BY {_largest(contract)}"""
