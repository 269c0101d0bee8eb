"""Quarantined rows, whole, for whoever asks for them by name: one JSON object a line."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from aoc_migrate.database.own_tables import lock
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort, refused
from aoc_migrate.quarantine.contents import has_quarantine
from aoc_migrate.report.facts.quarantined import ExportFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.graph import contract_at

PAGE = 5  # rows that are held in memory; a document has up to 4 MB, and a repaired row is kept beside what it was


def export_to_file(session: Session, report: Report, place: str, run: int | None) -> None:
    """Write the rows of `run_export` to a new file. Raises Abort as that does, and as `new_file` does."""
    with new_file(place) as file:
        run_export(session, report, file.write, run)
    session.say(f"{place} holds whole rows, documents included; you alone may read it")


def run_export(session: Session, report: Report, write: Callable[[str], object], run: int | None) -> None:
    """Give ``write`` the rows of one run, or of all, latest run first, with what the quarantine knows of each.

    Raises Abort (exit 2) where there is no quarantine.
    """
    contract = contract_at(session.target.name, report.revision)
    if not has_quarantine(session, contract):
        raise refused(f"{session.target.name} has no quarantine: nothing was ever moved there.")
    chosen = "true" if run is None else f"quarantine_run = {run}"
    name = session.schema[contract.quarantine]
    query = f"SELECT to_jsonb(q)::text FROM {name} AS q WHERE {chosen} ORDER BY quarantine_run DESC, id"
    exported = 0
    try:
        with session.transaction(), session.connection.cursor("aoc_export") as cursor:
            lock(session, contract.quarantine)
            cursor.itersize = PAGE
            cursor.execute(query.encode())
            for (line,) in cursor:
                write(f"{line}\n")
                exported += 1
    finally:
        report.put(ExportFacts(exported))


@contextmanager
def new_file(place: str) -> Iterator[TextIO]:
    """Open a file for its owner alone that takes its name when it is whole, or vanishes.

    Raises Abort: exit 2 where the name is taken or cannot be written to, 4 where writing fails on the way.
    """
    path = Path(place)
    if os.path.lexists(path):
        raise _taken(place)
    try:
        number, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise refused(f"{place} cannot be written: {error.strerror}. Choose another file.") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.touch(0o600, exist_ok=False)
        Path(unfinished).replace(path)
    except FileExistsError:
        raise _taken(place) from None
    except OSError as error:
        raise refused(f"{place} was not made, because it would not be whole: {error.strerror}.", 4) from None
    finally:
        with suppress(OSError):  # it has its name by now, or the disk is what failed
            Path(unfinished).unlink()


def _taken(place: str) -> Abort:
    return refused(f"{place} exists already and is not overwritten. Name a new file.")
