"""Queries that read a whole table: the settings that make them fast, and lines that show how far they are."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aoc_migrate.database.session import Parameters, Row, Session

Query = Callable[[str], str]
"""Makes a query from the source in its FROM: the table, or a slice of it."""

SECONDS_BETWEEN_LINES = 5.0
SORT_MEMORY = "64MB"  # more does not make these sorts faster (`reference/limits.md` 3 and 8)
LARGE = 25_000  # pages, 200 MB: a smaller table is read before an estimate would help
SLICE = 500  # pages that are read for the estimate


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
    """Return the rows of ``query``, and log what it is ``doing`` until it ends.

    A small slice of a large table is read first, to estimate the time; ``whole`` is False where the query reads
    only a part of the table. ``settings`` hold for this query alone.
    """
    with session.transaction():
        _set(session, settings or {})
        seconds = estimate(session, table, query, parameters) if whole else None
        about = f" about {seconds:,.0f} s" if seconds and seconds >= SECONDS_BETWEEN_LINES else ""
        session.say(f"{doing} …{about}")
        with _heartbeat(session, doing, seconds):
            return session.rows(query(str(session.schema[table])), parameters)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Set parameters until the transaction ends, among them memory for sorts, unless the server gives more."""
    chosen = {"jit": "off", **settings}  # compiling takes longer than it can save here
    session.rows(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS ours (name, value) "
        "UNION ALL SELECT set_config('work_mem', (greatest(pg_size_bytes(current_setting('work_mem')), "
        "pg_size_bytes(%s)) / 1024)::text, true)",
        (list(chosen), list(chosen.values()), SORT_MEMORY),
    )


def estimate(session: Session, table: str, query: Query, parameters: Parameters | None = None) -> float | None:
    """Return the seconds that ``query`` will take, estimated from a slice of the table; None for a small table.

    The slice is from the middle of the largest partition. One process reads it: where the server reads in
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
    """Log every few seconds how long the block has been running, with the estimate."""
    ended, begun = threading.Event(), time.monotonic()

    def beat() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            passed = time.monotonic() - begun
            of_about = "" if seconds is None else f" of about {seconds:,.0f} s"
            if seconds is not None and passed > seconds:
                of_about = f", {seconds:,.0f} s were expected"
            session.say(f"{doing}: {passed:,.0f} s{of_about}")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
