"""`quarantine --export`: whole rows, one JSON object per line."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from aoc_migrate.database.own_tables import lock, own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.granting import must_read
from aoc_migrate.quarantine.column_types import unlimited
from aoc_migrate.quarantine.contents import has_quarantine, no_such_rows
from aoc_migrate.report.facts.quarantined import ExportFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.graph import contract_at

PAGE = 5  # rows in memory; a document has up to 4 MB


def export_to_file(session: Session, report: Report, path: str, run: int | None) -> None:
    """Write the rows of `run_export` to a new file. Raises what `run_export` and `new_file` raise."""
    with new_file(path) as file:
        run_export(session, report, file.write, run)
    session.say(f"{path} contains whole rows, documents included; only you can read it", level="warning")


def run_export(session: Session, report: Report, write: Callable[[str], object], run: int | None) -> None:
    """Pass each row of one run, or of all, latest run first, to ``write``, with the columns of the quarantine.

    Raises Abort (exit 2) if there is no quarantine.
    """
    contract = contract_at(session.target.name, report.revision)
    if not has_quarantine(session, contract):
        raise refused(f"{session.target.name} has no quarantine, because no row was ever moved there.")
    must_read(session, contract.quarantine)
    chosen = "true" if run is None else f"quarantine_run = {run}"
    name = session.schema[contract.quarantine]
    columns = ", ".join(  # text of the type json may be too much for jsonb
        f"{column}::text" if type_ == "json" else column for column, type_ in unlimited(session, name).items()
    )
    latest_first = f"FROM {name} WHERE {chosen} ORDER BY quarantine_run DESC, id"
    query = f"SELECT to_jsonb(q)::text FROM (SELECT {columns} {latest_first}) AS q"
    if not session.on_cluster:
        # Sorted are the places of the rows, not their documents. OFFSET: one row is read at a time, in that order.
        places, row = f"SELECT ctid AS place {latest_first}", f"SELECT {columns} FROM {name} WHERE ctid = place"
        query = f"SELECT to_jsonb(q)::text FROM ({places}) AS p CROSS JOIN LATERAL ({row} OFFSET 0) AS q"
    if run is not None:
        with own_tables_locked(session, contract.quarantine):
            if not session.value(f"SELECT EXISTS (SELECT FROM {name} WHERE {chosen})"):
                raise no_such_rows(session, run)
    exported = 0
    try:
        with session.transaction(), session.connection.cursor("aoc_export") as cursor:
            lock(session, contract.quarantine)
            cursor.itersize = PAGE
            cursor.execute(query.encode())
            for (line,) in cursor:
                write(f"{_printable(line)}\n")
                exported += 1
    finally:
        report.put(ExportFacts(exported))


def _printable(line: str) -> str:
    """Return a line of JSON with the characters escaped that a terminal may obey; it means the same."""
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


@contextmanager
def new_file(name: str) -> Iterator[TextIO]:
    """Open a file (mode 0600) that gets its name once it is complete, and is removed otherwise.

    Raises Abort: exit 2 if the name is taken or cannot be written to, 4 if writing fails later.
    """
    path = Path(name)
    if os.path.lexists(path):
        raise _taken(name)
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise refused(f"{name} cannot be written: {error.strerror}. Choose another file.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.touch(0o600, exist_ok=False)
        Path(unfinished).replace(path)
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise refused(f"{name} was not created, because it would be incomplete: {error.strerror}.", 4) from None
    finally:
        with suppress(OSError):  # it was renamed, or the disk failed
            Path(unfinished).unlink()


def _taken(name: str) -> Abort:
    return refused(f"{name} already exists and is not overwritten. Choose another file.")
