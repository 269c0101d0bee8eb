"""How long steps will take: measured on a sample of the table and extrapolated.

A sample of a thousand pages shows how fast this server reads the small columns, reads the documents and sorts the
keys, with its cache as it is now. How much a step writes follows from PostgreSQL's statistics. So an estimate is
good for its order of magnitude, and leaves out waiting for other sessions.
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
from aoc_migrate.contract.rules import TIME
from aoc_migrate.database import catalog
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect import journal
from aoc_migrate.operations.step import BUILDS, Kind, Step

SAMPLE_PAGES, DOCUMENT_SAMPLE_PAGES = 1000, 200
LOCK_WAIT = "1s"
_WRITE_FACTOR = 12.0  # updating and journaling a row, in terms of sorting one (scripts/bench compares it)
_WAL_PER_LINK, _COMPRESSED_WAL_PER_LINK = (
    8100,
    1700,
)  # bytes, if every update needs a full-page image (limits.md 8)


class Effect(Enum):
    """What a Step reads and writes of the table. No Step rewrites the table."""

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


def effect_on(contract: Contract, step: Step) -> Effect:
    """Return the effect of a Step on the raw table of ``contract``. A Step on a partition counts as INSTANT."""
    if step.relation.name != contract.table:
        return Effect.INSTANT
    if step.kind is Kind.VALIDATE_NOT_NULL:
        return Effect.PROVE
    if step.kind is Kind.VALIDATE:
        documents = contract.document_check().name in step.objects
        return Effect.PROVE_DOCUMENTS if documents else Effect.PROVE
    if step.kind in BUILDS:
        return Effect.BUILD
    return {Kind.LINK: Effect.LINK, Kind.SET_BACK: Effect.SET_BACK}.get(step.kind, Effect.INSTANT)


@dataclass(frozen=True)
class Costs:
    """The size of the table, and the milliseconds that this server needs for a row.

    ``links``: rows that the backfill will write; ``journaled``: rows that its downgrade sets back; ``sort``: the
    milliseconds for a row of each index at the size of the table.
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
        """Return the milliseconds that Steps will run, or None if the size of the table does not matter."""
        estimates = [found for step in steps if (found := self._estimate(contract, step)) is not None]
        return sum(estimates) if estimates else None

    def _estimate(self, contract: Contract, step: Step) -> float | None:
        sort = self.sort[contract.chain_index().name]
        match effect_on(contract, step):
            case Effect.PROVE:
                return self.rows * self.scan
            case Effect.PROVE_DOCUMENTS:
                return self.rows * self.documents
            case Effect.BUILD:
                return self.rows * (self.scan + self.sort.get(step.objects[0], sort))
            case Effect.LINK:
                return self.rows * self.scan + self.links * sort * _WRITE_FACTOR
            case Effect.SET_BACK:
                return self.journaled * sort * _WRITE_FACTOR
        return None

    def size(self, contract: Contract, steps: Iterable[Step]) -> int:
        """Return the bytes of the table that Steps read."""
        return sum(self._size(effect_on(contract, step)) for step in steps)

    def _size(self, effect: Effect) -> int:
        if effect in (Effect.INSTANT, Effect.SET_BACK):
            return 0
        return self.whole_bytes if effect is Effect.PROVE_DOCUMENTS else self.main_bytes


def wal(costs: Costs) -> Row:
    """Return the most bytes of WAL that the backfill writes, without and with ``wal_compression``."""
    return {
        "backfill_wal_at_most_bytes": costs.links * _WAL_PER_LINK,
        "backfill_wal_compressed_at_most_bytes": costs.links * _COMPRESSED_WAL_PER_LINK,
    }


def measure(session: Session, contract: Contract) -> Costs | None:
    """Measure this server on this table. Returns None if the table is missing, empty or not readable.

    A table that is locked now gives None too: nobody waits for an estimate, and a failed one stops nothing.
    """
    try:
        with session.transaction():
            session.run(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            return _measure(session, contract)
    except psycopg.Error as error:
        if session.connection.closed:
            raise
        session.say(f"no estimates: {first_line(error, session.target)}", level="warning")
        return None


def _measure(session: Session, contract: Contract) -> Costs | None:
    table = contract.table
    if catalog.kind(session, table) is None or not catalog.may_read(session, table):
        return None
    table_sizes = sizes(session, table)
    if not table_sizes["main_bytes"]:
        return None
    pages, raw = table_sizes["main_bytes"] / table_sizes["page_bytes"], session.schema[table]
    rules = ", ".join(f"count(*) FILTER (WHERE NOT ({check.predicate}))" for check in contract.row_checks())
    document = f"count(*) FILTER (WHERE NOT ({contract.document_check().predicate}))"
    scan, sampled = _timed(session, f"SELECT {rules} FROM {_sample(raw, pages, SAMPLE_PAGES)}")
    documents, read = _timed(session, f"SELECT {document} FROM {_sample(raw, pages, DOCUMENT_SAMPLE_PAGES)}")
    if not sampled or not read:
        return None
    rows = table_sizes["rows"] or round(sampled * pages / min(pages, SAMPLE_PAGES))
    sort = {}
    for index in (contract.idempotency_index(), contract.chain_index()):
        listed = ", ".join(column.split()[0] for column in index.columns)
        ordered = (
            f"SELECT count(*) FROM (SELECT {listed} FROM {_sample(raw, pages, SAMPLE_PAGES)} "
            f"ORDER BY {', '.join(index.columns)} OFFSET 0) AS ordered"
        )
        milliseconds, _ = _timed(session, ordered)
        sort[index.name] = milliseconds / sampled * math.log(rows + 2) / math.log(sampled + 2)
    return Costs(
        rows=rows,
        main_bytes=table_sizes["main_bytes"],
        whole_bytes=table_sizes["whole_bytes"],
        links=_links(session, contract, rows),
        journaled=journal.journal_facts(session).links or 0,
        scan=scan / sampled,
        documents=documents / read,
        sort=sort,
    )


@contextmanager
def estimated(session: Session, contract: Contract, costs: Costs | None) -> Iterator[None]:
    """Let each Step inside report its estimate with the time that it takes."""
    before, session.estimate = session.estimate, partial(costs.estimate, contract) if costs else None
    try:
        yield
    finally:
        session.estimate = before


def sizes(session: Session, table: str) -> Row:
    """Return the estimated rows of a table, its partitions, and its bytes: page, rows, with documents, in all."""
    return session.row(
        "SELECT coalesce(sum(greatest(reltuples, 0)) FILTER (WHERE relkind <> 'p'), 0)::bigint AS rows, "
        "count(*) FILTER (WHERE relispartition AND relkind <> 'p') AS partitions, "
        "current_setting('block_size')::int AS page_bytes, sum(pg_relation_size(oid))::bigint AS main_bytes, "
        "sum(pg_table_size(oid))::bigint AS whole_bytes, sum(pg_total_relation_size(oid))::bigint AS total_bytes "
        f"FROM pg_class JOIN {FAMILY} AS family USING (oid)",
        (str(session.schema[table]),),
    )


def _sample(table: Relation, pages: float, sample_pages: int) -> str:
    percent = min(100.0, 100.0 * sample_pages / max(pages, 1))
    return f"{table} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1)"


def _timed(session: Session, query: str) -> tuple[float, int]:
    """Return the milliseconds that a query ran on the server, and the number of rows in its sample."""
    (explained,) = session.value(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
    return float(explained["Execution Time"]), round(sum(_sampled(explained["Plan"])))


def _sampled(node: dict[str, Any]) -> list[float]:
    below = [rows for child in node.get("Plans", []) for rows in _sampled(child)]
    if node["Node Type"] != "Sample Scan":
        return below
    return [*below, node["Actual Rows"] * node["Actual Loops"]]


def _links(session: Session, contract: Contract, rows: int) -> int:
    """Estimate the rows whose link is missing: rows without a link, less one for each document.

    Rows that are in no chain, because they lack a part of the key or the time, do not count, nor do wrong links.
    Before the first ANALYZE the estimate is every row.
    """
    statistics = session.row(
        "SELECT max(n_distinct) FILTER (WHERE attname = 'upstream_id') AS documents, "
        "max(null_frac) FILTER (WHERE attname = %s) AS missing, "
        "coalesce(max(null_frac) FILTER (WHERE attname = ANY (%s)), 0) AS unchained FROM pg_stats "
        "WHERE schemaname = %s AND tablename = %s",
        (contract.link, [*contract.chain_key, TIME], session.target.schema, contract.table),
    )
    distinct, missing_share = statistics["documents"], statistics["missing"]
    if distinct is None:
        return rows
    documents = float(distinct if distinct >= 0 else -distinct * rows)
    share = (1.0 if missing_share is None else float(missing_share)) - float(statistics["unchained"])
    missing = rows * share
    return max(0, round(missing - documents))
