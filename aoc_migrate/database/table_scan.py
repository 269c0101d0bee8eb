"""Queries that read a whole table, with settings that make them fast and a log line while they run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aoc_migrate.database.own_name import application_name
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.session import Parameters, Row, Session

SORT_MEMORY = "64MB"  # more does not make these sorts faster (`reference/limits.md` 3 and 8)


def read(
    session: Session,
    doing: str,
    query: str,
    parameters: Parameters | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    whole: str | None = None,
) -> list[Row]:
    """Return the rows of ``query``; see `scanning`."""
    with scanning(session, doing, settings, whole=whole):
        return session.rows(query, parameters)


@contextmanager
def scanning(
    session: Session, doing: str, settings: Mapping[str, str] | None = None, *, whole: str | None = None
) -> Iterator[None]:
    """Run the block in one transaction, with ``settings``, and log what it is ``doing`` until it ends.

    ``whole``: it reads the whole raw table once, and this is what for; the report counts that.
    """
    with session.transaction():
        _set(session, {"application_name": application_name(session.command, doing), **(settings or {})})
        session.say(f"{doing} …", "step", step=doing)
        with shown(Progress(session, doing)):
            yield
    if whole:
        session.full_reads[whole] += 1


def scanned(session: Session, query: str, parameters: Parameters) -> set[str]:
    """Return the names under which the plan of ``query`` scans tables from one end to the other.

    Partitions have that of their table, or begin with it.
    """
    with session.transaction():
        _set(session, {})
        explained = session.rows(f"EXPLAIN (FORMAT JSON) {query}", parameters)
    return {node["Alias"] for node in _nodes(explained) if node["Node Type"] == "Seq Scan"}


def _nodes(explained: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan, on a cluster also those of its shards."""
    if isinstance(explained, dict):
        if "Node Type" in explained:
            yield explained
        explained = list(explained.values())
    if isinstance(explained, list):
        for part in explained:
            yield from _nodes(part)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Set parameters until the transaction ends, among them memory for sorts, unless the server gives more."""
    session.rows(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS ours (name, value) "
        "UNION ALL SELECT set_config('work_mem', (greatest(pg_size_bytes(current_setting('work_mem')), "
        "pg_size_bytes(%s)) / 1024)::text, true)",
        (list(settings), list(settings.values()), SORT_MEMORY),
    )
