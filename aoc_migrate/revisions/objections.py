"""What would stop the Steps of revisions, asked before the first of them runs."""

from collections.abc import Iterable

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding
from aoc_migrate.revisions.graph import Revision
from aoc_migrate.revisions.revision_sql import collect


def objections(session: Session, revisions: Iterable[Revision], function: str) -> list[Finding]:
    """Return the errors among the objections to the Steps of ``function`` that the catalog needs now."""
    steps = [
        step
        for revision in revisions
        for group in collect(revision, function, session.schema, None)
        for step in group
        if step.objection
    ]
    if not steps or catalog.kind(session, STATE) is None:
        return []
    asked = ", ".join(
        f"CASE WHEN {step.needed} THEN ({step.objection.reason}) END AS reason_{n}"
        for n, step in enumerate(steps)
        if step.objection
    )
    with own_tables_locked(session, STATE):
        reasons = session.row(f"SELECT {asked}").values()
    found = [
        step.objection.finding(reason)
        for step, reason in zip(steps, reasons, strict=True)
        if step.objection and reason is not None
    ]
    return [objection for objection in found if objection.severity == "error"]
