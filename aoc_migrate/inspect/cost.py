"""How long steps will take: measured on a sample of the table and extrapolated.

A sample of a thousand pages, from all over the table, shows how many rows a page has, how wide their keys are, and
how fast this server reads the small columns, reads the documents and sorts the keys, with its cache as it is now.
PostgreSQL's statistics are not needed. An estimate of time is good for its order of magnitude, and leaves out
waiting for other sessions; what the sample cannot show is not given.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeVar

import psycopg

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect import journal
from aoc_migrate.inspect.index_room import entries
from aoc_migrate.inspect.missing_links import Links, missing_links
from aoc_migrate.inspect.table_size import SAMPLE_PAGES, TableSize, table_size
from aoc_migrate.operations.step import BUILDS, Kind, Step

DOCUMENT_SAMPLE_PAGES = 200
LOCK_WAIT = "1s"
_WRITE_FACTOR = 12.0  # updating and journaling a row, in terms of sorting one (scripts/bench compares it)
_WAL_PER_LINK, _COMPRESSED_WAL_PER_LINK = (
    8100,
    1700,
)  # bytes, if every update needs a full-page image (limits.md 8)
_APART = 2000  # bytes; PostgreSQL stores values apart (TOAST) until a row is no larger
EACH_AS_A_TASK = "SET LOCAL citus.enable_local_execution = off"  # Citus cannot explain what it has run by itself
_T = TypeVar("_T")


class Effect(Enum):
    """What a Step reads of the table. No Step rewrites the table."""

    INSTANT = "-"
    SET_BACK = "journal"
    PROVE = "table"
    LINK = "table by key"
    BUILD = "table twice"
    PROVE_DOCUMENTS = "documents"


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
    """The size of the table, and the milliseconds that this server needs for it.

    ``links``: rows that the backfill will write, if asked for; ``journaled``: rows that its downgrade sets
    back; ``scan``: for the small columns of every row; ``documents``: with the documents; ``sort``: for the keys
    of every row in the order of each index; ``entry_bytes``: the size of an entry of each index; ``id_bytes``:
    that of an id. None: unknown.
    """

    rows: int
    size: TableSize
    links: Links | None
    journaled: int | None
    scan: float
    documents: float | None
    sort: dict[str, float]
    entry_bytes: dict[str, float]
    id_bytes: float

    def estimate(self, contract: Contract, steps: Iterable[Step]) -> float | None:
        """Return the milliseconds that Steps will run; None if the table's size does not matter, or is unknown."""
        estimates = [found for step in steps if (found := self._estimate(contract, step)) is not None]
        return sum(estimates) if estimates else None

    def _estimate(self, contract: Contract, step: Step) -> float | None:
        sort = self.sort[contract.chain_index().name]
        write = sort / self.rows * _WRITE_FACTOR
        match effect_on(contract, step):
            case Effect.PROVE:
                return self.scan
            case Effect.PROVE_DOCUMENTS:
                return self.documents
            case Effect.BUILD:
                return self.scan + self.sort.get(step.objects[0], sort)
            case Effect.LINK if self.links and self.links.estimated is not None:
                return self.scan + self.links.estimated * write
            case Effect.SET_BACK if self.journaled is not None:
                return self.journaled * write
        return None

    def reads_bytes(self, effect: Effect) -> int:
        """Return the bytes of the table that an effect reads."""
        if effect in (Effect.INSTANT, Effect.SET_BACK):
            return 0
        return self.size.whole_bytes if effect is Effect.PROVE_DOCUMENTS else self.size.main_bytes


def wal(links: int) -> Row:
    """Return the most bytes of WAL that ``links`` need, without and with ``wal_compression``."""
    return {
        "backfill_wal_at_most_bytes": links * _WAL_PER_LINK,
        "backfill_wal_compressed_at_most_bytes": links * _COMPRESSED_WAL_PER_LINK,
    }


def measure(session: Session, contract: Contract, *, links: bool) -> Costs | None:
    """Measure this server on this table, and its missing ``links`` if asked.

    Returns None if the table is missing, empty or not readable, or locked now: nobody waits for an estimate, and a
    failed one stops nothing.
    """
    return briefly(session, partial(_measure, session, contract, links))


def briefly(session: Session, look: Callable[[], _T]) -> _T | None:
    """Return what ``look`` reads of a table, or None if it fails or would wait for a lock."""
    try:
        with session.transaction():
            session.run(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            if session.on_cluster:  # where EXPLAIN ANALYZE of a shard on this server needs a connection to it
                session.run(EACH_AS_A_TASK)
            return look()
    except psycopg.Error as error:
        if session.connection.closed:
            raise
        session.say(f"no estimates: {first_line(error, session.target)}", level="warning")
        return None


def _measure(session: Session, contract: Contract, links: bool) -> Costs | None:
    table = contract.table
    if catalog.kind(session, table) is None or not catalog.may_read(session, table):
        return None
    size, indexes = table_size(session, table), (contract.idempotency_index(), contract.chain_index())
    sample, share = _sample(session, contract, size, SAMPLE_PAGES)
    found = session.row(entries(indexes, sample)) if size.pages else {"rows": 0}
    if not found["rows"]:
        return None
    rules = ", ".join(f"count({check.predicate})" for check in contract.row_checks())
    scan = _timed(session, f"SELECT {rules} FROM {sample}") / share
    rows, sort = round(found["rows"] / share), {}
    for index in indexes:
        listed = ", ".join(column.split()[0] for column in index.columns)
        ordered = f"SELECT {listed} FROM {sample} ORDER BY {', '.join(index.columns)} OFFSET 0"
        taken = _timed(session, f"SELECT count(*) FROM ({ordered}) AS ordered") / share
        sort[index.name] = taken * math.log(rows + 2) / math.log(found["rows"] + 2)
    chain = sort[contract.chain_index().name]
    return Costs(
        rows=rows,
        size=size,
        links=missing_links(session, contract, sample, share, rows, chain) if links else None,
        journaled=journal.journal_facts(session).links,
        scan=scan,
        documents=_documents(session, contract, size),
        sort=sort,
        entry_bytes={index.name: float(found[index.name]) for index in indexes},
        id_bytes=found["id_bytes"],
    )


def _sample(session: Session, contract: Contract, size: TableSize, pages: int) -> tuple[str, float]:
    """Return the SQL of a sample of pages, the same ones throughout the session, and their share of the table."""
    share = min(1.0, pages / max(size.pages, 1))
    table = session.schema[contract.table]
    return f"{table} TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (pg_backend_pid())", share


def _documents(session: Session, contract: Contract, size: TableSize) -> float | None:
    """Return the milliseconds for every row with its document: the bytes, at the speed that the sample shows.

    None if documents are stored apart, and none of these is in the sample.
    """
    sample, share = _sample(session, contract, size, DOCUMENT_SAMPLE_PAGES)
    stored, rule = f"pg_column_size({contract.document})", contract.document_check().predicate
    apart = session.value(f"SELECT coalesce(sum({stored}) FILTER (WHERE {stored} > {_APART}), 0) FROM {sample}")
    taken = _timed(session, f"SELECT count(*) FILTER (WHERE NOT ({rule})) FROM {sample}")
    if not apart and size.apart_bytes > size.main_bytes:
        return None
    return taken * (size.main_bytes + size.apart_bytes) / (size.main_bytes * share + float(apart))


@contextmanager
def estimated(session: Session, contract: Contract, costs: Costs | None) -> Iterator[None]:
    """Let each Step inside report its estimate with the time that it takes."""
    before = session.estimate
    if costs:
        session.estimate = partial(costs.estimate, contract)
    try:
        yield
    finally:
        session.estimate = before


def _timed(session: Session, query: str) -> float:
    """Return the milliseconds that a query ran on the server."""
    (explained,) = session.value(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
    return float(explained["Execution Time"])
