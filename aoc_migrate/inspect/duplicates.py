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
from aoc_migrate.report.facts.full_reads import IN_AN_INDEX
from aoc_migrate.report.facts.raw_rows import VendorDuplicates
from aoc_migrate.report.model import Finding, finding

IDS_SHOWN = 20
ROWS_OF_GROUPS = "rows with a duplicate key"
TOTALS = "count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows"
_BY_INDEX = dict.fromkeys(
    [f"enable_{way}" for way in ("seqscan", "bitmapscan", "hashagg", "hashjoin", "mergejoin")], "off"
)


def audit_duplicates(session: Session, contract: Contract, limit: int, rows: int | None) -> Iterator[Finding]:
    """Yield ``duplicate-key`` and ``null-key``, each with counts over every row: ``rows``, if that is known."""
    nulls, groups = find(session, contract, limit)
    yield from reported(session, contract, limit, rows, nulls, groups)


def reported(
    session: Session, contract: Contract, limit: int, rows: int | None, nulls: int, groups: list[Row]
) -> Iterator[Finding]:
    """Yield the findings of :func:`audit_duplicates` for what was found."""
    session.checked("no two rows share an idempotency key", rows, "rows", groups[0]["rows"] if groups else 0)
    session.checked("no idempotency key has a NULL", rows, "rows", nulls)
    if groups:
        yield _duplicate_key(session, contract, groups)
    if nulls:
        statement = f"SELECT id FROM {session.schema[contract.table]} WHERE {_null(contract)}"
        shown = session.pasteable(statement)
        query = f'{statement} ORDER BY id COLLATE "C" LIMIT %s'
        sample = read(session, "looking for keys with NULL", query, (limit,), whole="rows without a key")
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
    proven, order = helped_by_index(session, contract)
    if proven:
        if not catalog.nullable(session, contract.table, contract.idempotency_key):
            return 0, []
        query = f"SELECT count(*) FROM {session.schema[contract.table]} WHERE {_null(contract)}"
        return read(session, "counting keys with NULL", query, whole="rows without a key")[0]["count"], []
    settings, whole = (_BY_INDEX, IN_AN_INDEX) if order else (None, "duplicates")
    column = spread_of(session, contract.table).column
    query = duplicates_and_nulls(contract, str(session.schema[contract.table]), order, column)
    rows = read(session, "looking for duplicates", query, (limit,), settings, whole=whole)
    groups = [row for row in rows if row["n"] is not None]
    if groups and not order:
        session.full_reads[ROWS_OF_GROUPS] += 1
    return rows[0]["nulls"], groups


def helped_by_index(session: Session, contract: Contract) -> tuple[bool, list[str] | None]:
    """Return whether a unique index leaves no group, and the key in the order of an index that begins with it."""
    indexes = usable_indexes(session, contract.table)
    proven = any(_proves(index, contract) for index in indexes)
    return proven, next((columns for index in indexes if (columns := _orders(index, contract))), None)


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
    found = read(session, "counting duplicates of each vendor", query, whole="duplicates of each vendor")
    if found:
        session.full_reads[ROWS_OF_GROUPS] += 1
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
    return (
        f"SELECT coalesce(sum(n), 0)::bigint AS nulls FROM candidates WHERE {null}",
        f"{first}, {_group(contract, key, f'{rows} EXISTS (SELECT FROM candidates WHERE NOT ({null}))')}",
    )


def _group(contract: Contract, key: str, rows: str) -> str:
    """Return the CTE ``groups`` of ``rows``, which begin with FROM."""
    ids = f"(array_agg(id ORDER BY {', '.join(contract.chain_order)}))[1:{IDS_SHOWN}]"
    return f"""groups AS (
  SELECT {key}, count(*) AS n, {ids} AS ids
  {rows}
  GROUP BY {key} HAVING count(*) > 1
)"""


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
SELECT nulls, {_with_groups(contract, lacking)}"""


def _with_groups(contract: Contract, totals: str) -> str:
    """Return the end of a query of ``totals`` with the largest groups, as many as its one parameter says."""
    return f"""found.* FROM ({totals}) AS lacking LEFT JOIN (
  SELECT *, {TOTALS} FROM groups ORDER BY {_largest(contract)} LIMIT %s
) AS found ON true ORDER BY {_largest(contract)}"""


def judged_duplicates(contract: Contract, source: str, broken: str) -> str:
    """Return a query as `duplicates_and_nulls` does, whose one scan also judges every row.

    ``broken``: an expression over a row, a bit for each rule that it breaks, NULL for none. Each row of the result
    has also ``checked``, the rows read, the union of ``broken``, and ``candidates``, which are 0 where the table
    was not read again. Rows that are no candidates are one group of ``seen``, so it needs no memory for them.
    """
    digest = key_hash(contract.idempotency_key)
    rows = f"FROM {source} WHERE {digest} IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates)"
    totals = (
        "SELECT coalesce(sum(n), 0)::bigint AS checked, coalesce(bit_or(broken), 0) AS broken, "
        "count(digest) AS candidates, coalesce(sum(n) FILTER (WHERE lacking), 0)::bigint AS nulls FROM seen"
    )
    return f"""WITH seen AS MATERIALIZED (
  SELECT CASE WHEN digest = before THEN digest END AS digest, digest IS NULL AS lacking, count(*) AS n,
    bit_or(broken) AS broken
  FROM (SELECT digest, broken, lag(digest) OVER (ORDER BY digest) AS before
    FROM (SELECT {digest} AS digest, {broken} AS broken FROM {source} OFFSET 0) AS each) AS sorted GROUP BY 1, 2
), candidates AS (
  SELECT digest FROM seen WHERE digest IS NOT NULL
), {_group(contract, ", ".join(contract.idempotency_key), rows)}
SELECT checked, broken, candidates, nulls, {_with_groups(contract, totals)}"""
