"""The supersedes chain: every row's link is the id of the previous revision of its document."""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.table_scan import read, scanned
from aoc_migrate.inspect.chain_facts import chain_facts, chain_sample
from aoc_migrate.inspect.chain_scope import RECENT, Scope, chains_in, without_index
from aoc_migrate.inspect.link_kinds import KINDS, judged_links
from aoc_migrate.operations.supersedes.statements import wrong_links
from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.model import Finding, finding

LINKS, RECENT_ROWS = "links", "recent rows"
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
    session.links_counted = int(read(session, "following the chains", query, whole=LINKS)[0]["count"])
    return session.links_counted


def inspect_chain(
    session: Session, contract: Contract, backfilled_at: str | None, limit: int
) -> Iterator[Finding]:
    """Yield ``chain-broken`` and ``chain-late`` over every row; rows stored after ``backfilled_at`` are late."""
    query = f"{wrong_links(contract, session.schema[contract.table])} LIMIT %s"
    found = read(session, "following the chains", query, [MOST_BY_ID + 1], whole=LINKS)
    yield from _link_findings(session, contract, backfilled_at, limit, Scope(), found, len(found))


def verify_chain(
    session: Session, contract: Contract, backfilled_at: str | None, limit: int, scope: Scope
) -> tuple[list[Finding], ChainFacts]:
    """Return the findings of :func:`inspect_chain` in a scope, and facts about its chains, in one pass.

    In a scope, PostgreSQL may read the chains through indexes; the report then counts the whole reads of its plan.
    Rows are grouped by revision, and each row with a wrong link is a group of its own: so the pass returns these
    links as well, and needs no memory for them.
    """
    where, values = chains_in(session, contract, scope)
    key, found = ", ".join(contract.chain_key), list[Finding]()
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
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, wrong, old, expected FROM groups WHERE wrong IS NOT NULL
  LIMIT %(most)s
) ORDER BY revisions DESC NULLS LAST"""
    values |= {"most": MOST_BY_ID}
    scans = {"all"} if scope == Scope() else scanned(session, query, values)
    reads = {RECENT_ROWS if name.startswith(RECENT) else LINKS for name in scans}
    rows = read(session, "following the chains", query, values)
    session.full_reads.update(reads)
    if RECENT_ROWS in reads:
        found += without_index(session, contract)
    sizes, links = ([row for row in rows if (row["id"] is None) is size] for size in (True, False))
    count = sizes[0]["all_wrong"] if sizes else 0
    found += _link_findings(session, contract, backfilled_at, limit, scope, links, count)
    return found, chain_facts(contract, sizes, chain_sample(session, contract, scope, sizes))


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

    ``links`` are the wrong links, of which there are ``count``, or some of them.
    """
    if not count:
        return
    known = links if count == len(links) <= MOST_BY_ID else None
    found = judged_links(session, contract, backfilled_at, limit, scope, known)
    where, values = chains_in(session, contract, scope)
    statement = wrong_links(contract, session.schema[contract.table], where)
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
