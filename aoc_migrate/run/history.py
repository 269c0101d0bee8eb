"""`history`: the ledger."""

from aoc_migrate.database.session import Session
from aoc_migrate.errors import refused
from aoc_migrate.report.facts.runs import HistoryFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions import ledger


def run_history(session: Session, report: Report, limit: int, run: int | None) -> None:
    """Report the latest runs and the steps of the last, or only ``run`` with its steps."""
    runs = ledger.runs(session, limit, run)
    if run is None and runs:
        run = runs[0].run
    if run is not None:
        steps = ledger.steps(session, run)
        if steps is None:
            raise refused(
                f"The ledger of {session.target.name} has no run {run}. List the runs: aoc-migrate history"
            )
        session.steps = steps
    report.put(HistoryFacts(runs, steps_of_run=run))
