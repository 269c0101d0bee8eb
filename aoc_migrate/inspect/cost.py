"""What a step will take: measured for an instant on the server itself, and extended to the whole table.

A sample of a thousand pages tells how fast this server reads the small columns, reads the documents and sorts
the keys, in whatever cache it has; how much is to be written follows from PostgreSQL's statistics. So an estimate
is good for its order of magnitude, and says nothing of waiting for others.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg

from aoc_migrate.contract.model import Contract, Index
from aoc_migrate.database import catalog
from aoc_migrate.database.books import JOURNAL
from aoc_migrate.database.ours import ours
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session, first_line

PAGES, DOCUMENT_PAGES = 1000, 200  # of a sample
PATIENCE = "1s"  # for a lock
_WRITE = 12.0  # updating and journaling a row, as a multiple of sorting one (scripts/bench holds it to the fact)
_WAL_OF_LINK, _WAL_OF_LINK_COMPRESSED = 8100, 1700  # bytes, once every update meets a page anew (limits.md 8)


class Kind(Enum):
    """What a step does to the table: what it reads, and what it writes."""

    INSTANT = ("nothing", "the catalog")
    PROVE = ("one scan of the table", "the catalog")
    PROVE_DOCUMENTS = ("one scan of the table and its documents", "the catalog")
    BUILD = ("two scans of the table", "an index")
    LINK = ("one pass in order", "links, in place")
    SET_BACK = ("the journal", "links, in place")

    @property
    def reads(self) -> str:
        """What is read."""
        return str(self.value[0])

    @property
    def writes(self) -> str:
        """What is written. No step rewrites the table."""
        return str(self.value[1])


@dataclass(frozen=True)
class Costs:
    """What the table holds, and milliseconds that this server needs for a row.

    ``links``: rows that the backfill will write; ``journaled``: rows that its downgrade sets back. ``sort`` is
    for a row of an index with as many rows as the table.
    """

    rows: int
    main_bytes: int
    whole_bytes: int
    links: int
    journaled: int
    scan: float
    documents: float
    sort: dict[str, float]

    def estimate(self, contract: Contract, statement: str) -> float | None:
        """Return the milliseconds that a step will run; None for one that takes an instant at any size."""
        of = kind(contract, statement)
        if of is Kind.PROVE:
            return self.rows * self.scan
        if of is Kind.PROVE_DOCUMENTS:
            return self.rows * self.documents
        if of is Kind.BUILD:
            return self.rows * (self.scan + self.sort[index_of(contract, statement).name])
        written = {Kind.LINK: self.links, Kind.SET_BACK: self.journaled}.get(of)
        if written is None:
            return None
        order = self.sort[contract.chain_index().name]
        return (self.rows * self.scan if of is Kind.LINK else 0) + written * order * _WRITE

    def size(self, contract: Contract, statement: str) -> int:
        """Return the bytes of what a step reads; 0 where it reads nothing of the table."""
        of = kind(contract, statement)
        if of is Kind.INSTANT or of is Kind.SET_BACK:
            return 0
        return self.whole_bytes if of is Kind.PROVE_DOCUMENTS else self.main_bytes


def kind(contract: Contract, statement: str) -> Kind:
    """Return what a step does, from the name it has in plans and reports."""
    if "VALIDATE" in statement:
        document = contract.document_check().name in statement
        return Kind.PROVE_DOCUMENTS if document else Kind.PROVE
    whole = (f" ON {contract.table} (", f" on {contract.table} and its partitions")
    if statement.startswith("CREATE") and any(words in statement for words in whole):  # not that of one partition
        return Kind.BUILD
    if statement.startswith("link rows"):
        return Kind.LINK
    return Kind.SET_BACK if statement.startswith("set back links") else Kind.INSTANT


def index_of(contract: Contract, statement: str) -> Index:
    """Return the index of the contract that a step builds."""
    unique = contract.idempotency_index()
    return unique if unique.name in statement else contract.chain_index()


def wal(costs: Costs) -> Row:
    """Return the bytes of WAL that the backfill writes at most, without and with ``wal_compression``."""
    return {
        "backfill_wal_at_most_bytes": costs.links * _WAL_OF_LINK,
        "backfill_wal_compressed_at_most_bytes": costs.links * _WAL_OF_LINK_COMPRESSED,
    }


def measure(session: Session, contract: Contract) -> Costs | None:
    """Measure this server on this table; None where there is no table, no row, or no right to read it.

    Nor where it cannot be read now: an estimate is worth no waiting, and stops nothing.
    """
    try:
        with session.transaction():
            session.run(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            return _measure(session, contract)
    except psycopg.Error as error:
        if session.connection.closed:
            raise
        session.say(f"no estimates: {first_line(error, session.target)}")
        return None


def _measure(session: Session, contract: Contract) -> Costs | None:
    table = contract.table
    if catalog.kind(session, table) is None or not catalog.readable(session, table):
        return None
    known = sizes(session, table)
    if not known["main_bytes"]:
        return None
    pages, raw = known["main_bytes"] / known["page_bytes"], session.schema[table]
    rules = ", ".join(f"count(*) FILTER (WHERE NOT ({check.predicate}))" for check in contract.row_checks())
    document = f"count(*) FILTER (WHERE NOT ({contract.document_check().predicate}))"
    scan, sampled = _timed(session, f"SELECT {rules} FROM {_sample(raw, pages, PAGES)}")
    documents, read = _timed(session, f"SELECT {document} FROM {_sample(raw, pages, DOCUMENT_PAGES)}")
    if not sampled or not read:
        return None
    rows = known["rows"] or round(sampled * pages / min(pages, PAGES))
    sort = {}
    for index in (contract.idempotency_index(), contract.chain_index()):
        listed = ", ".join(column.split()[0] for column in index.columns)
        ordered = (
            f"SELECT count(*) FROM (SELECT {listed} FROM {_sample(raw, pages, PAGES)} "
            f"ORDER BY {', '.join(index.columns)} OFFSET 0) AS ordered"
        )
        took, _ = _timed(session, ordered)
        sort[index.name] = took / sampled * math.log(rows + 2) / math.log(sampled + 2)
    state = []
    if catalog.readable(session, JOURNAL):
        with ours(session, JOURNAL):
            state = session.rows(_JOURNALED.format(session.schema[JOURNAL]))
    return Costs(
        rows=rows,
        main_bytes=known["main_bytes"],
        whole_bytes=known["whole_bytes"],
        links=_links(session, contract, rows),
        journaled=int(state[0]["rows"]) if state else 0,
        scan=scan / sampled,
        documents=documents / read,
        sort=sort,
    )


@contextmanager
def estimated(session: Session, contract: Contract, costs: Costs | None) -> Iterator[None]:
    """Set what was estimated beforehand beside the time that each step inside took, in milliseconds."""
    before = len(session.steps)
    try:
        yield
    finally:
        for step in session.steps[before:]:
            expected = costs.estimate(contract, str(step["statement"])) if costs else None
            if expected is not None:
                step["estimated_ms"] = round(expected, 1)


_JOURNALED = "SELECT coalesce(sum(cardinality(ids)), 0) AS rows FROM {}"


def sizes(session: Session, table: str) -> Row:
    """Return rows (PostgreSQL's estimate), bytes of a page, of the rows, and with documents; partitions count."""
    return session.row(
        "SELECT coalesce(sum(greatest(reltuples, 0)) FILTER (WHERE relkind <> 'p'), 0)::bigint AS rows, "
        "count(*) FILTER (WHERE relispartition AND relkind <> 'p') AS partitions, "
        "current_setting('block_size')::int AS page_bytes, sum(pg_relation_size(oid))::bigint AS main_bytes, "
        "sum(pg_table_size(oid))::bigint AS whole_bytes, sum(pg_total_relation_size(oid))::bigint AS total_bytes "
        f"FROM pg_class JOIN {FAMILY} AS family USING (oid)",
        (str(session.schema[table]),),
    )


def _sample(table: Relation, pages: float, wanted: int) -> str:
    percent = min(100.0, 100.0 * wanted / max(pages, 1))
    return f"{table} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1)"


def _timed(session: Session, query: str) -> tuple[float, int]:
    """Return the milliseconds that a query ran on the server, and the rows that its sample gave."""
    (explained,) = session.value(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
    return float(explained["Execution Time"]), round(sum(_sampled(explained["Plan"])))


def _sampled(node: dict[str, Any]) -> list[float]:
    below = [rows for child in node.get("Plans", []) for rows in _sampled(child)]
    if node["Node Type"] != "Sample Scan":
        return below
    return [*below, node["Actual Rows"] * node["Actual Loops"]]


def _links(session: Session, contract: Contract, rows: int) -> int:
    """Estimate the rows whose link is missing: those without one, less one for each document.

    Wrong links are not among them. Without statistics (never analysed) it is every row.
    """
    known = session.row(
        "SELECT max(n_distinct) FILTER (WHERE attname = 'upstream_id') AS documents, "
        "max(null_frac) FILTER (WHERE attname = %s) AS missing FROM pg_stats "
        "WHERE schemaname = %s AND tablename = %s",
        (contract.link, session.target.schema, contract.table),
    )
    if known["documents"] is None:
        return rows
    documents = float(known["documents"] if known["documents"] >= 0 else -known["documents"] * rows)
    missing = rows * (1.0 if known["missing"] is None else known["missing"])
    return max(0, round(missing - documents))
