"""Quarantined rows, whole, for whoever asks for them by name: one JSON object a line."""

from collections.abc import Callable

from aoc_migrate.database.own_tables import lock
from aoc_migrate.database.session import Session
from aoc_migrate.errors import refused
from aoc_migrate.quarantine.contents import there
from aoc_migrate.report.facts.quarantined import ExportFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.graph import contract_at

PAGE = 5  # rows that are held in memory; a document has up to 4 MB, and a repaired row is kept beside what it was


def run_export(session: Session, report: Report, write: Callable[[str], object], run: int | None) -> None:
    """Give ``write`` the rows of one run, or of all, latest run first, with what the quarantine knows of each.

    Raises Abort (exit 2) where there is no quarantine.
    """
    contract = contract_at(session.target.name, report.revision)
    if not there(session, contract):
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
