"""What a step will take: measured for an instant on the server itself, and extended to the whole table.

A sample of a thousand pages tells how fast this server reads the small columns, reads the documents and sorts
the keys, in whatever cache it has; how much is to be written follows from PostgreSQL's statistics. So an estimate
is good for its order of magnitude, and says nothing of waiting for others.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import psycopg

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session, first_line
from aoc_migrate.inspect import journal
from aoc_migrate.operations.step import BUILDS, Kind, Step

PAGES, DOCUMENT_PAGES = 1000, 200  # of a sample
LOCK_WAIT = "1s"
_WRITE = 12.0  # updating and journaling a row, as a multiple of sorting one (scripts/bench holds it to the fact)
_WAL_OF_LINK, _WAL_OF_LINK_COMPRESSED = 8100, 1700  # bytes, once every update meets a page anew (limits.md 8)


class Work(Enum):
    """What a Step does to the table: what it reads, and what it writes. No Step rewrites the table."""

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
        """What is written."""
        return str(self.value[1])


def work(contract: Contract, step: Step) -> Work:
    """Return what a Step does to the raw table of ``contract``; what it does to a partition is not counted."""
    if step.relation.name != contract.table:
        return Work.INSTANT
    if step.kind is Kind.VALIDATE:
        documents = contract.document_check().name in step.objects
        return Work.PROVE_DOCUMENTS if documents else Work.PROVE
    if step.kind in BUILDS:
        return Work.BUILD
    return {Kind.LINK: Work.LINK, Kind.SET_BACK: Work.SET_BACK}.get(step.kind, Work.INSTANT)


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

    def estimate(self, contract: Contract, steps: Iterable[Step]) -> float | None:
        """Return the milliseconds that Steps will run; None where all take an instant at any size."""
        expected = [found for step in steps if (found := self._estimate(contract, step)) is not None]
        return sum(expected) if expected else None

    def _estimate(self, contract: Contract, step: Step) -> float | None:
        order = self.sort[contract.chain_index().name]
        match work(contract, step):
            case Work.PROVE:
                return self.rows * self.scan
            case Work.PROVE_DOCUMENTS:
                return self.rows * self.documents
            case Work.BUILD:
                return self.rows * (self.scan + self.sort.get(step.objects[0], order))
            case Work.LINK:
                return self.rows * self.scan + self.links * order * _WRITE
            case Work.SET_BACK:
                return self.journaled * order * _WRITE
        return None

    def size(self, contract: Contract, steps: Iterable[Step]) -> int:
        """Return the bytes of the table that Steps read."""
        return sum(self._size(work(contract, step)) for step in steps)

    def _size(self, of: Work) -> int:
        if of is Work.INSTANT or of is Work.SET_BACK:
            return 0
        return self.whole_bytes if of is Work.PROVE_DOCUMENTS else self.main_bytes


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
            session.run(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            return _measure(session, contract)
    except psycopg.Error as error:
        if session.connection.closed:
            raise
        session.say(f"no estimates: {first_line(error, session.target)}")
        return None


def _measure(session: Session, contract: Contract) -> Costs | None:
    table = contract.table
    if catalog.kind(session, table) is None or not catalog.may_read(session, table):
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
    return Costs(
        rows=rows,
        main_bytes=known["main_bytes"],
        whole_bytes=known["whole_bytes"],
        links=_links(session, contract, rows),
        journaled=journal.held(session).links or 0,
        scan=scan / sampled,
        documents=documents / read,
        sort=sort,
    )


@contextmanager
def estimated(session: Session, contract: Contract, costs: Costs | None) -> Iterator[None]:
    """Report what was estimated beforehand with the time that each Step inside takes, in milliseconds."""
    before, session.estimate = session.estimate, partial(costs.estimate, contract) if costs else None
    try:
        yield
    finally:
        session.estimate = before


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
