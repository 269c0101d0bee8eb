"""Queries that read a whole table, with settings that make them fast and a log line while they run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
) -> list[Row]:
    """Return the rows of ``query``; see `scanning`."""
    with scanning(session, doing, settings):
        return session.rows(query, parameters)


@contextmanager
def scanning(session: Session, doing: str, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run the block in one transaction, with ``settings``, and log what it is ``doing`` until it ends."""
    with session.transaction():
        _set(session, {"application_name": application_name(session.command, doing), **(settings or {})})
        session.say(f"{doing} …", "step", step=doing)
        with shown(Progress(session, doing)):
            yield


def _set(session: Session, settings: Mapping[str, str]) -> None:
    """Set parameters until the transaction ends, among them memory for sorts, unless the server gives more."""
    session.rows(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS ours (name, value) "
        "UNION ALL SELECT set_config('work_mem', (greatest(pg_size_bytes(current_setting('work_mem')), "
        "pg_size_bytes(%s)) / 1024)::text, true)",
        (list(settings), list(settings.values()), SORT_MEMORY),
    )
