"""How many links the backfill will write: counted, estimated from a sample through an index, or only bounded.

Neither a sample of rows nor PostgreSQL's statistics show how many documents a table has. In statistics, a few long
chains among many single rows look like long chains only; in a sample of a large table, two rows seldom belong to
one document. So where only the maximum is known, no estimate is given.
"""

from dataclasses import dataclass

import psycopg

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.usable_indexes import usable_indexes
from aoc_migrate.operations.supersedes.statements import wrong_links

COUNT_MS = 10_000.0  # a count that is expected to take longer is not made
PROBES = 3000
_TIMEOUT = {"statement_timeout": "30s"}
_BY_INDEX = dict.fromkeys(("enable_seqscan", "enable_bitmapscan"), "off")


@dataclass(frozen=True)
class Links:
    """Links that the backfill will write. ``estimated``: None where only the ``most`` is known."""

    estimated: int | None
    most: int


def missing_links(
    session: Session, contract: Contract, sample: str, share: float, rows: int, count_ms: float
) -> Links:
    """Return the links that the backfill will write to about ``rows``, of which ``sample`` has a ``share``.

    If this session has counted them before, that number is taken. Else they are counted, if that is expected to
    take no more than `COUNT_MS`. Else, if an index begins with the chain key, it shows which rows of the sample
    have a predecessor, but no link. Else every row without a link may need one.
    """
    if session.links_counted is not None:
        return Links(session.links_counted, session.links_counted)
    try:
        if count_ms <= COUNT_MS:
            count = _count(session, contract)
            return Links(count, count)
        if _has_index(session, contract):
            count = round(rows * _share_missing(session, contract, sample))
            return Links(count, count)
    except psycopg.OperationalError:  # the timeout, or the limit of temporary files
        if session.connection.closed:
            raise
    unlinked = f"{_with_link(session, contract, sample)} WHERE {contract.chained()} AND {contract.link} IS NULL"
    return Links(None, round(session.value(f"SELECT count(*) FROM {unlinked}") / share))


def _count(session: Session, contract: Contract) -> int:
    wrong = wrong_links(contract, _with_link(session, contract, str(session.schema[contract.table])))
    doing, query = f"counting links of {contract.table}", f"SELECT count(*) AS n FROM ({wrong}) AS wrong"
    session.links_counted = int(read(session, doing, query, settings=_TIMEOUT, whole="links")[0]["n"])
    return session.links_counted


def _with_link(session: Session, contract: Contract, source: str) -> str:
    """Return ``source`` with its link, which is NULL before the first revision."""
    if contract.link in catalog.columns(session, contract.table):
        return source
    return f"(SELECT *, NULL::text AS {contract.link} FROM {source}) AS unlinked"


def _has_index(session: Session, contract: Contract) -> bool:
    """Return whether an index begins with the columns of the chain key, in any order."""
    width, key = len(contract.chain_key), set(contract.chain_key)
    return any(set(index["columns"][:width]) == key for index in usable_indexes(session, contract.table))


def _share_missing(session: Session, contract: Contract, sample: str) -> float:
    """Return the share of the sampled rows that have a predecessor, but no link.

    LIMIT keeps PostgreSQL from reading the whole table for a join.
    """
    same = " AND ".join(f"earlier.{column} = late.{column}" for column in contract.chain_key)
    before, itself = (
        ", ".join(f"{name}.{column}" for column in contract.chain_order) for name in ("earlier", "late")
    )
    earlier = f"{session.schema[contract.table]} AS earlier WHERE {same} AND ({before}) < ({itself}) LIMIT 1"
    missing = f"CASE WHEN late.{contract.link} IS NULL THEN (SELECT true FROM {earlier}) END"
    some = f"SELECT * FROM {_with_link(session, contract, sample)} ORDER BY random() LIMIT {PROBES}"
    query = f"SELECT count(*) AS seen, count({missing}) AS missing FROM ({some}) AS late"
    found = read(session, f"sampling links of {contract.table}", query, settings=_TIMEOUT | _BY_INDEX)[0]
    return float(found["missing"] / max(found["seen"], 1))
