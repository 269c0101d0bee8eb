"""`chain` and `journal`: look at the supersedes links, mend them, and end the way back on purpose."""

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import JOURNAL
from aoc_migrate.database.ddl.links import check_retrofit, relink
from aoc_migrate.database.ddl.table import forget
from aoc_migrate.database.lock import runner_lock
from aoc_migrate.database.session import Session
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.chain import inspect_chain
from aoc_migrate.inspect.partitions import ambiguous_ids
from aoc_migrate.inspect.place import readable, writing
from aoc_migrate.report.model import Report
from aoc_migrate.run import ledger
from aoc_migrate.run.common import chain_state, changing
from aoc_migrate.run.history import contract_at, parts, revision_of


def run_chain(session: Session, report: Report, limit: int, apply: bool) -> None:
    """Show the rows whose link is late or broken; with ``apply`` link them anew, journaled."""
    target, contract = session.target.name, contract_at(session.target.name, report.revision)
    if Part.CHAIN not in parts(target, report.revision):
        needed = revision_of(target, Part.CHAIN)
        raise AocError(f"{target} has no chain yet: it is made by {needed}. Run: aoc-migrate upgrade {target}")
    hidden = readable(session, contract.table)
    if hidden:
        report.findings += hidden
        return
    started = str((chain_state(session) or {}).get("started_at") or "") or None
    report.findings += inspect_chain(session, contract, started, limit)
    if not apply:
        report.next = f"aoc-migrate chain {target} --apply" if report.findings else ""
        return
    report.findings.clear()
    report.findings += writing(session, [contract.table])
    report.findings += ambiguous_ids(session, contract, limit)
    if report.errors:
        return
    with runner_lock(session):
        check_retrofit(session, contract)
        state = catalog.state(session, "chain")
        if state is None or state["done"]:
            session.run(forget("chain"))
        with ledger.recorded(session, report, "chain --apply", report.revision), changing(session, report):
            report.facts["linked_anew"] = relink(session, contract, "chain")
    report.findings += inspect_chain(session, contract, started, limit)
    report.failed = bool(report.errors)
    ledger.judged(session, report)


def run_journal(session: Session, report: Report, drop: bool) -> None:
    """Show the journal of links that were written; with ``drop`` empty it, which ends the way back."""
    if catalog.kind(session, JOURNAL) is None:
        report.facts |= {"batches": 0, "rows": 0}
        return
    query = f"SELECT count(*) AS batches, coalesce(sum(cardinality(ids)), 0)::bigint AS rows FROM {JOURNAL}"
    report.facts |= session.row(query)
    if not drop:
        return
    with runner_lock(session), ledger.recorded(session, report, "journal drop", report.revision):
        report.changed = bool(report.facts["rows"])
        session.run(f"DELETE FROM {JOURNAL}")
    report.next = "a downgrade of the backfill now leaves the links as they are"
