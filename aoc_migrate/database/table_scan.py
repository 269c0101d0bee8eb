"""Queries that read a whole table: settings under which they are fast, and word of how far they may be."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aoc_migrate.database.session import Parameters, Row, Session

Query = Callable[[str], str]
"""Makes a query from what stands behind its FROM: the table, or a slice of it under the table's name."""

SECONDS_BETWEEN_LINES = 5.0
SORT_MEMORY = "64MB"  # more does not make these sorts faster (`reference/limits.md` 3 and 8)
LARGE = 25_000  # pages, 200 MB: below, a query ends before its estimate would be worth reading
SLICE = 500  # pages that are read to estimate the time of all


def read(
    session: Session,
    table: str,
    doing: str,
    query: Query,
    parameters: Parameters | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    whole: bool = True,
) -> list[Row]:
    """Return the rows of ``query``, and say what it is ``doing`` until it ends.

    Of a large table a small slice is read first, to estimate the time of the ``whole``; False where the query
    reads a part of it. ``settings`` hold for this query alone.
    """
    with session.transaction():
        _set(session, settings or {})
        seconds = estimate(session, table, query, parameters) if whole else None
        about = f" about {seconds:,.0f} s" if seconds and seconds >= SECONDS_BETWEEN_LINES else ""
        session.say(f"{doing} …{about}")
        with _heartbeat(session, doing, seconds):
            return session.rows(query(str(session.schema[table])), parameters)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Set parameters until the transaction ends, and have memory to sort in; a server may give more."""
    chosen = {"jit": "off", **settings}  # compiling takes longer than it can save here
    session.rows(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS ours (name, value) "
        "UNION ALL SELECT set_config('work_mem', (greatest(pg_size_bytes(current_setting('work_mem')), "
        "pg_size_bytes(%s)) / 1024)::text, true)",
        (list(chosen), list(chosen.values()), SORT_MEMORY),
    )


def estimate(session: Session, table: str, query: Query, parameters: Parameters | None = None) -> float | None:
    """Return about how many seconds ``query`` will take, from a slice of the table; None where it is small.

    The slice lies in the middle of the largest partition. One process reads it: where the server reads in
    parallel, the whole takes less.
    """
    largest = session.row(
        "SELECT pages, (sum(pages) OVER ())::bigint AS whole, relation::text FROM (SELECT relation, "
        "pg_relation_size(relation) / current_setting('block_size')::int AS pages FROM ("
        "SELECT relid AS relation FROM pg_partition_tree(to_regclass(%s)) WHERE isleaf "
        "UNION SELECT to_regclass(%s)) AS parts) AS sized ORDER BY pages DESC LIMIT 1",
        [str(session.schema[table])] * 2,
    )
    if largest["whole"] < LARGE or largest["pages"] < SLICE:
        return None
    relation = largest["relation"].replace("%", "%%" if parameters is not None else "%")
    first = (largest["pages"] - SLICE) // 2
    rows = f"SELECT * FROM {relation} WHERE ctid >= '({first},0)' AND ctid < '({first + SLICE},0)'"
    begun = time.monotonic()
    session.rows(query(f"({rows}) AS slice"), parameters)
    return (time.monotonic() - begun) * float(largest["whole"]) / SLICE


@contextmanager
def _heartbeat(session: Session, doing: str, seconds: float | None) -> Iterator[None]:
    """Say every few seconds how long the block has been running, beside the estimate."""
    ended, begun = threading.Event(), time.monotonic()

    def beat() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            passed = time.monotonic() - begun
            beside = "" if seconds is None else f" of about {seconds:,.0f} s"
            if seconds is not None and passed > seconds:
                beside = f", {seconds:,.0f} s were expected"
            session.say(f"{doing}: {passed:,.0f} s{beside}")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
