"""The supersedes chain: every row's link is the id of the previous revision of its document.

Kinds of a wrong link, the first that fits: ``dangling`` (no such row), ``cross-group`` (a row of another
document or tenant), ``cycle``, ``fork`` (another row has the same link), ``out of order`` (a row of the same
document, but not the previous one), ``false head`` (no link, yet others build on it), ``missing link``.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.chain import wrong_links
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, make

KINDS = ("dangling", "cross-group", "cycle", "fork", "out of order", "false head", "missing link")
ALWAYS_ERRORS = ("dangling", "cross-group", "cycle", "fork")


def count_wrong(session: Session, contract: Contract) -> int:
    """Return how many rows the backfill would write; without a link column, how many have a predecessor."""
    if contract.link in catalog.columns(session, contract.table):
        query = wrong_links(contract)
    else:
        key = ", ".join(contract.chain_key)
        query = (
            f"SELECT FROM (SELECT row_number() OVER (PARTITION BY {key}) AS n FROM {contract.table}) AS r "
            "WHERE n > 1"
        )
    return int(session.value(f"SELECT count(*) FROM ({query}) AS wrong"))


def inspect_chain(
    session: Session,
    contract: Contract,
    backfilled_at: str | None,
    limit: int,
    tenant: str | None = None,
    since: float | None = None,
) -> Iterator[Finding]:
    """Yield ``chain-broken`` and ``chain-late`` over every row (or one tenant, or recent documents).

    ``backfilled_at``: rows stored since then may be late. ``since``: only documents with a revision
    retrieved in the last so many seconds.
    """
    where, values = _scope(contract, tenant, since)
    wrong = wrong_links(contract, where)
    if not session.value(f"SELECT EXISTS ({wrong})", values):
        return
    late = _late(session, contract, backfilled_at)
    query = _classified(contract, wrong, late)
    counts = session.rows(f"{query} SELECT kind, late, count(*) AS rows FROM judged GROUP BY kind, late", values)
    for slug, excused in (("chain-broken", False), ("chain-late", True)):
        kinds = {c["kind"]: c["rows"] for c in counts if c["late"] == excused}
        if not kinds:
            continue
        sample = session.rows(
            f"{query} SELECT id, kind, old AS supersedes, expected FROM judged WHERE late = %s "
            'ORDER BY id COLLATE "C" LIMIT %s',
            [*values, excused, limit],
        )
        shown = ", ".join(f"{kind} {kinds[kind]:,}" for kind in KINDS if kind in kinds)
        rows = sum(kinds.values())
        yield make(
            slug,
            contract.table,
            count=rows,
            rows=rows,
            kinds=shown,
            target=session.target.name,
            statement=session.pasteable(wrong, values),
            sample=sample,
        )


def _scope(contract: Contract, tenant: str | None, since: float | None) -> tuple[str, list[Any]]:
    where, values = ["true"], list[Any]()
    if tenant is not None:
        where.append("tenant = %s")
        values.append(tenant)
    if since is not None:
        key = ", ".join(contract.chain_key)
        where.append(
            f"({key}) IN (SELECT {key} FROM {contract.table} "
            "WHERE retrieved_at >= now() - make_interval(secs => %s))"
        )
        values.append(since)
    return " AND ".join(where), values


def _late(session: Session, contract: Contract, backfilled_at: str | None) -> str:
    """Return a predicate over a wrong row ``w``: is it so only because some revision was stored late?

    Either its predecessor came later than the row itself, or the row came later than one that follows it.
    Without ``created_at`` nobody can tell, and every wrong link is an error.
    """
    if backfilled_at is None or "created_at" not in catalog.columns(session, contract.table):
        return "false"
    same = " AND ".join(f"o.{c} = t.{c}" for c in contract.chain_key)
    stored = f"'{backfilled_at}'::timestamptz"
    mine = '(t.retrieved_at, t.id COLLATE "C")'
    other = '(o.retrieved_at, o.id COLLATE "C")'
    return (
        f"EXISTS (SELECT FROM {contract.table} o WHERE {same} AND (o.created_at > t.created_at AND "
        f"o.created_at >= {stored} AND {other} < {mine} OR o.created_at < t.created_at AND "
        f"t.created_at >= {stored} AND {other} > {mine}))"
    )


def _classified(contract: Contract, wrong: str, late: str) -> str:
    """Return the CTEs that end in ``judged (id, old, expected, kind, late)``."""
    table, link = contract.table, contract.link
    same = " AND ".join(f"p.{c} = t.{c}" for c in contract.chain_key)
    same_fork = " AND ".join(f"f.{c} = t.{c}" for c in contract.chain_key)
    always = ", ".join(f"'{kind}'" for kind in ALWAYS_ERRORS)
    return f"""WITH RECURSIVE wrong AS MATERIALIZED ({wrong}), walk (start, at) AS (
  SELECT w.id, w.old FROM wrong w WHERE w.old IS NOT NULL
  UNION SELECT walk.start, t.{link} FROM walk JOIN {table} t ON t.id = walk.at
  WHERE t.{link} IS NOT NULL AND walk.at <> walk.start
), named AS (
  SELECT w.id, w.old, w.expected, {late} AS stored_late, CASE
    WHEN w.old IS NOT NULL AND p.id IS NULL THEN 'dangling'
    WHEN w.old IS NOT NULL AND NOT ({same}) THEN 'cross-group'
    WHEN EXISTS (SELECT FROM walk WHERE walk.start = w.id AND walk.at = w.id) THEN 'cycle'
    WHEN EXISTS (SELECT FROM {table} f WHERE {same_fork} AND f.{link} = w.old AND f.id <> w.id) THEN 'fork'
    WHEN w.old IS NOT NULL THEN 'out of order'
    WHEN EXISTS (SELECT FROM {table} f WHERE {same_fork} AND f.{link} = w.id) THEN 'false head'
    ELSE 'missing link' END AS kind
  FROM wrong w JOIN {table} t ON t.id = w.id LEFT JOIN {table} p ON p.id = w.old
), judged AS (
  SELECT id, old, expected, kind, stored_late AND kind NOT IN ({always}) AS late FROM named
)"""


def chain_facts(
    session: Session, contract: Contract, tenant: str | None = None, since: float | None = None
) -> dict[str, Any]:
    """Return rows, rows with a predecessor, how deep chains are, and the guide's sample of five rows in order.

    ``chain_depths`` are documents by number of revisions, in powers of two; ``largest_chains`` the five greatest
    numbers of revisions, how many documents have so many, and one of them. All but the sample in one pass.
    """
    key, order = ", ".join(contract.chain_key), ", ".join((*contract.chain_key, *contract.chain_order))
    where, values = _scope(contract, tenant, since)
    scoped = f"FROM {contract.table} WHERE {where}"
    sizes = session.rows(
        f"SELECT revisions, count(*) AS documents, sum(linked)::bigint AS linked, min(document) AS first FROM ("
        f'SELECT count(*) AS revisions, count({contract.link}) AS linked, ARRAY[{key}] COLLATE "C" AS document '
        f"{scoped} GROUP BY {key}) AS chains GROUP BY revisions ORDER BY revisions DESC",
        values,
    )
    sample = session.rows(
        f"SELECT id, {contract.link} {scoped} AND upstream_id IS NOT NULL ORDER BY {order} LIMIT 5", values
    )
    depths = Counter[int]()
    for size in sizes:
        depths[(size["revisions"] - 1).bit_length()] += size["documents"]
    return {
        "rows": sum(size["revisions"] * size["documents"] for size in sizes),
        "linked": sum(size["linked"] for size in sizes),
        "chain_depths": {_depth(power): documents for power, documents in sorted(depths.items())},
        "largest_chains": [
            {"revisions": size["revisions"], "documents": size["documents"]}
            | dict(zip(contract.chain_key, size["first"], strict=True))
            for size in sizes[:5]
        ],
        "chain_sample": sample,
    }


def _depth(power: int) -> str:
    """Return the numbers of revisions above one power of two, up to the next: 1, 2, 3 to 4, 5 to 8 …."""
    most = 2**power
    return str(most) if most < 3 else f"{most // 2 + 1} to {most}"
