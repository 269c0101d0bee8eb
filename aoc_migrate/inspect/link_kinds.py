"""The kinds of wrong links, and which of them are wrong only because a revision was stored late.

A wrong link is of the first kind that fits: ``dangling`` (no such row), ``cross-group`` (a row of another
document or tenant), ``cycle``, ``fork`` (another row has the same link), ``out of order`` (a row of the same
document, but not the previous one), ``false head`` (no link, but other rows link to it), ``missing link``.

The links of a distributed table are followed in one tenant after the other, on the shard that has its rows: Citus
follows links nowhere else. So a cycle over several tenants is not recognized; its links between tenants still are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.chain_scope import Scope, chains_in
from aoc_migrate.operations.supersedes.statements import wrong_links

KINDS = ("dangling", "cross-group", "cycle", "fork", "out of order", "false head", "missing link")
ALWAYS_ERRORS = ("dangling", "cross-group", "cycle", "fork")


def judged_links(
    session: Session,
    contract: Contract,
    backfilled_at: str | None,
    limit: int,
    scope: Scope,
    known: list[Row] | None,
) -> list[Row]:
    """Return (late, kind, rows) for each kind of the wrong links in a scope, and samples of late ones and others.

    A row of a sample has ``rows`` None, and ``id``, ``supersedes`` and ``expected``. ``known``: all wrong links.
    Their kinds are found through the indexes, whatever the statistics of the table say; where ``known`` is None,
    the table is read again.
    """
    source, elsewhere = str(session.schema[contract.table]), None
    distributed = spread_of(session, contract.table).column is not None
    if distributed:
        source, elsewhere = (
            f"(SELECT * FROM {source} WHERE tenant = %(tenant)s)",
            _elsewhere(session, contract, scope),
        )
    late = _stored_late(session, contract, backfilled_at, source)
    if not distributed:
        return _judged(session, contract, late, source, elsewhere, scope, known, limit)
    counts, sample = Counter[tuple[bool, str]](), list[Row]()
    for tenant, of_tenant in _by_tenant(session, contract, scope, known):
        inside = replace(scope, tenant=tenant)
        for row in _judged(session, contract, late, source, elsewhere, inside, of_tenant, limit):
            if row["rows"] is None:
                sample.append(row)
            else:
                counts[row["late"], row["kind"]] += row["rows"]
    found = [{"late": late, "kind": kind, "rows": rows} for (late, kind), rows in counts.items()]
    for is_late in (False, True):
        found += sorted((row for row in sample if row["late"] is is_late), key=itemgetter("id"))[:limit]
    return found


def _elsewhere(session: Session, contract: Contract, scope: Scope) -> list[str]:
    """Return the ids of other tenants' rows that rows in a scope link to."""
    where, values = chains_in(session, contract, scope)
    raw, link = session.schema[contract.table], contract.link
    query = f"""WITH lost AS MATERIALIZED (
  SELECT DISTINCT {link} AS id FROM {raw} AS t WHERE {where} AND {link} IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM {raw} AS p WHERE p.tenant = t.tenant AND p.id = t.{link})
)
SELECT id FROM {raw} WHERE id IN (SELECT id FROM lost)"""
    return [row["id"] for row in read(session, "looking for links to other tenants", query, values)]


def _by_tenant(
    session: Session, contract: Contract, scope: Scope, known: list[Row] | None
) -> Iterator[tuple[str, list[Row] | None]]:
    """Yield each tenant that may have wrong links, and those of its wrong links that are known, if they are."""
    raw = session.schema[contract.table]
    if known is None:
        where, values = chains_in(session, contract, scope)
        tenants = session.rows(f"SELECT DISTINCT tenant FROM {raw} WHERE {where}", values)
        yield from ((row["tenant"], None) for row in tenants)
        return
    rows = session.rows(f"SELECT id, tenant FROM {raw} WHERE id = ANY (%s)", ([row["id"] for row in known],))
    links = {row["id"]: row for row in known}
    by_tenant: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_tenant[row["tenant"]].append(links[row["id"]])
    yield from by_tenant.items()


def _judged(
    session: Session,
    contract: Contract,
    late: str,
    source: str,
    elsewhere: list[str] | None,
    scope: Scope,
    known: list[Row] | None,
    limit: int,
) -> list[Row]:
    """Return what `judged_links` returns for the rows of ``source``, which link to no rows but ``elsewhere``."""
    where, values = chains_in(session, contract, scope)
    wrong, settings = wrong_links(contract, f"{source} AS r", where), dict[str, str]()
    if known is not None:
        wrong = (
            "SELECT * FROM unnest(%(id)s::text[], %(old)s::text[], %(expected)s::text[]) AS f (id, old, expected)"
        )
        values |= {column: [row[column] for row in known] for column in ("id", "old", "expected")}
        settings = {"enable_seqscan": "off"}
    kept = "SELECT late, kind, NULL::bigint AS rows, id, old AS supersedes, expected FROM judged WHERE late = "
    query = f"""{_classified(contract, source, wrong, late, elsewhere is not None)}
SELECT late, kind, count(*) AS rows, NULL AS id, NULL AS supersedes, NULL AS expected FROM judged
GROUP BY late, kind
UNION ALL ({kept} false ORDER BY id COLLATE "C" LIMIT %(limit)s)
UNION ALL ({kept} true ORDER BY id COLLATE "C" LIMIT %(limit)s)"""
    values |= {"limit": limit, "elsewhere": elsewhere}
    return read(session, "classifying wrong links", query, values, settings)


def _stored_late(session: Session, contract: Contract, backfilled_at: str | None, source: str) -> str:
    """Return a predicate over a wrong row ``t`` of ``w``: is it wrong only because some revision was stored late?

    Either its predecessor was stored after it, or it was stored after a row that follows it. Without
    ``created_at`` that is unknown, and every wrong link is an error.
    """
    if backfilled_at is None or "created_at" not in catalog.columns(session, contract.table):
        return "false"
    same = " AND ".join(f"o.{c} = t.{c}" for c in contract.chain_key)
    stored = f"'{backfilled_at}'::timestamptz"
    mine = '(t.retrieved_at, t.id COLLATE "C")'
    other = '(o.retrieved_at, o.id COLLATE "C")'
    return (
        f"EXISTS (SELECT 1 FROM {source} o WHERE {same} "
        f"AND (o.id = w.expected AND o.created_at > t.created_at AND o.created_at >= {stored} "
        f"OR o.created_at < t.created_at AND t.created_at >= {stored} AND {other} > {mine}))"
    )


def _classified(contract: Contract, table: str, wrong: str, late: str, elsewhere: bool) -> str:
    """Return the CTEs that end in ``judged (id, old, expected, kind, late)``.

    A cycle has a link that does not go back in chain order, so the walk starts only from such links. A walk that
    returns to its start has met every row of its cycle. ``elsewhere``: a row that is not in ``table`` is in
    another tenant, if %(elsewhere)s names it.
    """
    link = contract.link
    lost = "p.id IS NULL AND w.old <> ALL (%(elsewhere)s)" if elsewhere else "p.id IS NULL"
    same = " AND ".join(f"p.{c} = t.{c}" for c in contract.chain_key)
    other_group = f"(p.id IS NULL OR NOT ({same}))" if elsewhere else f"NOT ({same})"
    key = ", ".join(contract.chain_key)
    same_as = {row: " AND ".join(f"{row}.{c} = t.{c}" for c in contract.chain_key) for row in ("fork", "next")}
    always = ", ".join(f"'{kind}'" for kind in ALWAYS_ERRORS)
    mine, other = (f"({', '.join(f'{row}.{c}' for c in contract.chain_order)})" for row in "tp")
    return f"""WITH RECURSIVE wrong AS MATERIALIZED ({wrong}), walk (start, at) AS (
  SELECT w.id, w.old FROM wrong w JOIN {table} t ON t.id = w.id JOIN {table} p ON p.id = w.old
  WHERE ({same}) IS NOT TRUE OR {other} >= {mine}
  UNION SELECT walk.start, t.{link} FROM walk JOIN {table} t ON t.id = walk.at
  WHERE t.{link} IS NOT NULL AND walk.at <> walk.start
), cycles AS (
  SELECT DISTINCT at AS id FROM walk WHERE start IN (SELECT start FROM walk WHERE at = start)
), linking AS MATERIALIZED (
  SELECT {key}, {link} AS link, count(*) AS rows
  FROM (SELECT DISTINCT {key} FROM {table} AS r JOIN wrong USING (id)) AS chains JOIN {table} AS r USING ({key})
  WHERE {link} IN (SELECT old FROM wrong UNION ALL SELECT id FROM wrong) GROUP BY {key}, {link}
), named AS (
  SELECT w.id, w.old, w.expected, {late} AS stored_late, CASE
    WHEN w.old IS NOT NULL AND {lost} THEN 'dangling'
    WHEN w.old IS NOT NULL AND {other_group} THEN 'cross-group'
    WHEN cycles.id IS NOT NULL THEN 'cycle'
    WHEN fork.rows > 1 THEN 'fork'
    WHEN w.old IS NOT NULL THEN 'out of order'
    WHEN next.rows > 0 THEN 'false head'
    ELSE 'missing link' END AS kind
  FROM wrong w JOIN {table} t ON t.id = w.id LEFT JOIN {table} p ON p.id = w.old
    LEFT JOIN cycles ON cycles.id = w.id
    LEFT JOIN linking AS fork ON {same_as["fork"]} AND fork.link = w.old
    LEFT JOIN linking AS next ON {same_as["next"]} AND next.link = w.id
), judged AS (
  SELECT id, old, expected, kind, stored_late AND kind NOT IN ({always}) AS late FROM named
)"""
