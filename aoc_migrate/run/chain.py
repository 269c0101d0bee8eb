"""`chain`: show wrong supersedes links, set them again, and drop the journal that a downgrade needs."""

from contextlib import nullcontext

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import code_findings
from aoc_migrate.database.bookkeeping import JOURNAL
from aoc_migrate.database.events import DDL
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.database.state import forget, keep
from aoc_migrate.errors import refused
from aoc_migrate.inspect import journal
from aoc_migrate.inspect.chain_links import inspect_chain
from aoc_migrate.inspect.partitioning import ambiguous_ids
from aoc_migrate.inspect.session_checks import table_missing, unreadable, write_findings
from aoc_migrate.operations.supersedes.backfill import check_retrofit, objections_to_link, relink
from aoc_migrate.operations.supersedes.statements import CHAIN, count_links
from aoc_migrate.report.facts.chains import RelinkFacts
from aoc_migrate.report.model import SHOWN, Next, Report
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import backfilled_at, changing, locked, our_tables
from aoc_migrate.revisions.graph import contract_at, parts, revision_of
from aoc_migrate.run import hold
from aoc_migrate.run.next_step import RETROFIT


def run_chain(session: Session, report: Report, limit: int, apply: bool) -> None:
    """Show the rows whose link is late or broken; with ``apply``, journal the old links and set new ones."""
    target, contract = session.target.name, _chained(session, report)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract, report.revision))
        return
    report.findings += unreadable(session, contract.table)
    if apply and not report.errors:
        report.findings += write_findings(session, our_tables(session))
        report.findings += ambiguous_ids(session, contract, limit)
    if report.errors or (apply and not _apply(session, report)):
        return
    if session.linked_at is None:
        report.findings += inspect_chain(session, contract, backfilled_at(session), limit)
    if apply:
        report.failed = bool(report.errors)
        ledger.record_verify_failure(session, report)
    elif report.findings:
        allowed = "" if session.flags.allow_supersedes_retrofit else f"{RETROFIT} "
        report.next = Next(choices=(f"{allowed}aoc-migrate chain {target} --apply",), note=SHOWN)


def _chained(session: Session, report: Report) -> Contract:
    """Return the contract in force. Raises Abort if the database has no chain yet."""
    target = session.target.name
    if Part.CHAIN not in parts(target, report.revision):
        needed = revision_of(target, Part.CHAIN)
        raise refused(
            f"{target} has no chain yet; revision {needed} creates it. Run: aoc-migrate upgrade {target}"
        )
    return contract_at(target, report.revision)


def _apply(session: Session, report: Report) -> bool:
    """Set the links under the lock, unless an unfinished rollback would set them back."""
    with locked(session, report):
        contract = _chained(session, report)
        report.findings += hold.unfinished(session)
        if report.errors:
            return False
        check_retrofit(session, contract)
        report.findings += [*code_findings(session, contract, DDL), *objections_to_link(session, contract)]
        if report.errors:
            return False
        state, backfill = catalog.state(session, CHAIN), revision_of(session.target.name, Part.CHAIN)
        if state is not None and state["done"]:
            total = count_links(session.schema, backfill, str(int(state["rows"])))
            keep(session, total, forget(session.schema, CHAIN))
        with ledger.recorded(session, report, "chain --apply", report.revision), changing(session, report):
            report.put(RelinkFacts(relink(session, contract, CHAIN)))
    return True


def run_drop_journal(session: Session, report: Report, apply: bool) -> None:
    """Show how many links the journal holds; with ``apply``, empty it, so that no downgrade sets them back."""
    if apply:
        report.findings += write_findings(session, our_tables(session))
        if report.errors:
            return
    with locked(session, report) if apply else nullcontext():
        if catalog.kind(session, JOURNAL) is not None:
            report.findings += unreadable(session, JOURNAL)
        facts = journal.journal_facts(session)
        report.put(facts)
        if not facts.links:
            return
        if apply and (unfinished := hold.unfinished(session)):
            report.findings += unfinished
            return
        if not apply:
            report.next = Next(
                choices=(f"aoc-migrate chain {session.target.name} --drop-journal --apply",), note=SHOWN
            )
            return
        with ledger.recorded(session, report, "chain --drop-journal", report.revision):
            report.changed = True
            with own_tables_locked(session, JOURNAL, writes=True):
                session.run(f"DELETE FROM {session.schema[JOURNAL]}")
    report.next = Next(note="From now on, a downgrade of the backfill leaves the links as they are.")
