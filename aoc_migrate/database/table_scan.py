"""Queries that read a whole table, with settings that make them fast and a log line while they run."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aoc_migrate.database.session import Parameters, Row, Session

SECONDS_BETWEEN_LINES = 5.0
SORT_MEMORY = "64MB"  # more does not make these sorts faster (`reference/limits.md` 3 and 8)


def read(
    session: Session,
    doing: str,
    query: str,
    parameters: Parameters | None = None,
    settings: Mapping[str, str] | None = None,
) -> list[Row]:
    """Return the rows of ``query``, and log what it is ``doing`` until it ends; ``settings`` apply to it alone."""
    with session.transaction():
        _set(session, settings or {})
        session.say(f"{doing} …")
        with _heartbeat(session, doing):
            return session.rows(query, parameters)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Set parameters until the transaction ends, among them memory for sorts, unless the server gives more."""
    session.rows(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS ours (name, value) "
        "UNION ALL SELECT set_config('work_mem', (greatest(pg_size_bytes(current_setting('work_mem')), "
        "pg_size_bytes(%s)) / 1024)::text, true)",
        (list(settings), list(settings.values()), SORT_MEMORY),
    )


@contextmanager
def _heartbeat(session: Session, doing: str) -> Iterator[None]:
    """Say every few seconds how long the block has been running."""
    ended, begun = threading.Event(), time.monotonic()

    def beat() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            session.say(f"{doing}: {time.monotonic() - begun:,.0f} s")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
