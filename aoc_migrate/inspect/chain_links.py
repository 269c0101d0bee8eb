"""The supersedes chain: every row's link is the id of the previous revision of its document.

A wrong link is of the first kind that fits: ``dangling`` (no such row), ``cross-group`` (a row of another
document or tenant), ``cycle``, ``fork`` (another row has the same link), ``out of order`` (a row of the same
document, but not the previous one), ``false head`` (no link, but other rows link to it), ``missing link``.
"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.chain_facts import chain_facts, chain_sample
from aoc_migrate.inspect.chain_scope import Scope, chains_in
from aoc_migrate.operations.supersedes.statements import wrong_links
from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.model import Finding, finding

KINDS = ("dangling", "cross-group", "cycle", "fork", "out of order", "false head", "missing link")
ALWAYS_ERRORS = ("dangling", "cross-group", "cycle", "fork")
MOST_BY_ID = 10_000  # wrong links that are looked up through the indexes; for more, the table is read again


def count_wrong(session: Session, contract: Contract) -> int:
    """Return how many rows the backfill would write; without a link column, the rows that have a predecessor."""
    table = session.schema[contract.table]
    if contract.link in catalog.columns(session, contract.table):
        query = f"SELECT count(*) FROM ({wrong_links(contract, table)}) AS wrong"
    else:
        digest, key = key_hash(contract.chain_key), ", ".join(contract.chain_key)
        numbered = f"SELECT row_number() OVER (PARTITION BY {digest}, {key}) AS n FROM {table} "
        numbered += f"WHERE {contract.chained()}"
        query = f"SELECT count(*) FROM ({numbered}) AS numbered WHERE n > 1"
    return int(read(session, "following the chains", query)[0]["count"])


def inspect_chain(
    session: Session, contract: Contract, backfilled_at: str | None, limit: int
) -> Iterator[Finding]:
    """Yield ``chain-broken`` and ``chain-late`` over every row; rows stored after ``backfilled_at`` are late."""
    query = f"{wrong_links(contract, session.schema[contract.table])} LIMIT %s"
    found = read(session, "following the chains", query, [MOST_BY_ID + 1])
    yield from _link_findings(session, contract, backfilled_at, limit, Scope(), found, len(found))


def verify_chain(
    session: Session, contract: Contract, backfilled_at: str | None, limit: int, scope: Scope
) -> tuple[list[Finding], ChainFacts]:
    """Return the findings of :func:`inspect_chain` in a scope, and facts about its chains, in one pass.

    Rows are grouped by revision, and each row with a wrong link is a group of its own: so the pass returns these
    links as well, and needs no memory for them.
    """
    where, values = chains_in(session, contract, scope)
    key = ", ".join(contract.chain_key)
    wrong = f"CASE WHEN {contract.link} IS DISTINCT FROM lag(id) OVER chain THEN id END"
    query = f"""WITH linked AS (
  SELECT {key}, {contract.link} AS old, lag(id) OVER chain AS expected, {wrong} AS wrong,
    row_number() OVER chain AS revision, lead(true) OVER chain IS NULL AS latest
  FROM {session.schema[contract.table]} WHERE {where}
  WINDOW chain AS (PARTITION BY {key_hash(contract.chain_key)}, {key} ORDER BY {", ".join(contract.chain_order)})
), groups AS MATERIALIZED (
  SELECT revision, wrong, count(*) AS rows, count(old) AS linked, count(*) FILTER (WHERE latest) AS documents,
    min(ARRAY[{key}] COLLATE "C") FILTER (WHERE latest) AS first,
    min(old) FILTER (WHERE wrong IS NOT NULL) AS old, min(expected) FILTER (WHERE wrong IS NOT NULL) AS expected
  FROM linked GROUP BY revision, wrong
), revisions AS (
  SELECT revision AS revisions, sum(documents)::bigint AS documents, min(first COLLATE "C") AS first,
    sum(sum(rows)) OVER ()::bigint AS all_rows, sum(sum(linked)) OVER ()::bigint AS all_linked,
    sum(count(wrong)) OVER ()::bigint AS all_wrong FROM groups GROUP BY revision
)
SELECT *, NULL AS id, NULL AS old, NULL AS expected FROM revisions WHERE documents > 0
UNION ALL (
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, wrong, old, expected FROM groups WHERE wrong IS NOT NULL LIMIT %s
) ORDER BY revisions DESC NULLS LAST"""
    rows = read(session, "following the chains", query, [*values, MOST_BY_ID])
    sizes, links = ([row for row in rows if (row["id"] is None) is size] for size in (True, False))
    count = sizes[0]["all_wrong"] if sizes else 0
    found = list(_link_findings(session, contract, backfilled_at, limit, scope, links, count))
    return found, chain_facts(contract, sizes, chain_sample(session, contract, scope))


def _link_findings(
    session: Session,
    contract: Contract,
    backfilled_at: str | None,
    limit: int,
    scope: Scope,
    links: list[Row],
    count: int,
) -> Iterator[Finding]:
    """Yield a finding for the broken links in a scope and one for the late links, each with counts by kind.

    ``links`` are the wrong links, of which there are ``count``. Their kinds are found through the indexes,
    whatever the statistics of the table say; only for more than `MOST_BY_ID` is the table read again.
    """
    if not count:
        return
    where, values = chains_in(session, contract, scope)
    statement = wrong_links(contract, session.schema[contract.table], where)
    wrong, chosen, settings = statement, values, dict[str, str]()
    if count == len(links) <= MOST_BY_ID:
        columns = ("id", "old", "expected")
        wrong = "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) AS found (id, old, expected)"
        chosen, settings = [[row[column] for row in links] for column in columns], {"enable_seqscan": "off"}
    late = _late(session, contract, backfilled_at)
    kept = "SELECT late, kind, NULL::bigint AS rows, id, old AS supersedes, expected FROM judged WHERE late = "
    query = f"""{_classified(session, contract, wrong, late)}
SELECT late, kind, count(*) AS rows, NULL AS id, NULL AS supersedes, NULL AS expected FROM judged
GROUP BY late, kind
UNION ALL ({kept} false ORDER BY id COLLATE "C" LIMIT %s)
UNION ALL ({kept} true ORDER BY id COLLATE "C" LIMIT %s)"""
    found = read(session, "classifying wrong links", query, [*chosen, limit, limit], settings)
    for slug, is_late in (("chain-broken", False), ("chain-late", True)):
        kinds = {row["kind"]: row["rows"] for row in found if row["late"] == is_late and row["rows"] is not None}
        if not kinds:
            continue
        sample = [
            {name: row[name] for name in ("id", "kind", "supersedes", "expected")}
            for row in found
            if row["late"] == is_late and row["rows"] is None
        ]
        shown = ", ".join(f"{kind} {kinds[kind]:,}" for kind in KINDS if kind in kinds)
        rows = sum(kinds.values())
        yield finding(
            slug,
            contract.table,
            count=rows,
            rows=rows,
            kinds=shown,
            target=session.target.name,
            statement=session.pasteable(statement, values),
            sample=sample,
        )


def _late(session: Session, contract: Contract, backfilled_at: str | None) -> str:
    """Return a predicate over a wrong row ``t``: is it wrong only because some revision was stored late?

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
        f"EXISTS (SELECT FROM {session.schema[contract.table]} o WHERE {same} "
        f"AND (o.created_at > t.created_at AND o.created_at >= {stored} AND {other} < {mine} "
        f"OR o.created_at < t.created_at AND t.created_at >= {stored} AND {other} > {mine}))"
    )


def _classified(session: Session, contract: Contract, wrong: str, late: str) -> str:
    """Return the CTEs that end in ``judged (id, old, expected, kind, late)``.

    A cycle has a link that does not go back in chain order, so the walk starts only from such links. A walk that
    returns to its start has met every row of its cycle.
    """
    table, link = session.schema[contract.table], contract.link
    same = " AND ".join(f"p.{c} = t.{c}" for c in contract.chain_key)
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
  FROM (SELECT DISTINCT {key} FROM {table} JOIN wrong USING (id)) AS chains JOIN {table} USING ({key})
  WHERE {link} IN (SELECT old FROM wrong UNION ALL SELECT id FROM wrong) GROUP BY {key}, {link}
), named AS (
  SELECT w.id, w.old, w.expected, {late} AS stored_late, CASE
    WHEN w.old IS NOT NULL AND p.id IS NULL THEN 'dangling'
    WHEN w.old IS NOT NULL AND NOT ({same}) THEN 'cross-group'
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
