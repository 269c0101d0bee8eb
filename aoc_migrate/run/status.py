"""`status`: the state of a target."""

from dataclasses import replace
from functools import partial

from aoc_migrate.contract.model import Contract, Index
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, WORK
from aoc_migrate.database.own_tables import writable
from aoc_migrate.database.runner_lock import holder, holders
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.builds import building
from aoc_migrate.inspect import journal
from aoc_migrate.inspect.catalog_state import catalog_facts, index_state
from aoc_migrate.inspect.cost import briefly
from aoc_migrate.inspect.server_activity import activity_findings
from aoc_migrate.inspect.session_checks import table_missing, write_findings
from aoc_migrate.inspect.table_size import TableSize, table_size
from aoc_migrate.quarantine.contents import quarantine_facts, quarantine_findings
from aoc_migrate.report.facts.dashboard import HoldFacts, Runner, StatusFacts
from aoc_migrate.report.facts.target_state import CatalogFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import chain_state, our_tables
from aoc_migrate.revisions.graph import applied, contract_at, history, parts, position
from aoc_migrate.run import hold
from aoc_migrate.run.control import put_asked
from aoc_migrate.run.running_work import running_work


def run_status(session: Session, report: Report) -> None:
    """Report revision, pending revisions, rules guarded or proven, hold, lock, what runs now and what ran last."""
    target = session.target.name
    contract = contract_at(target, report.revision)
    exists = catalog.kind(session, contract.table) is not None
    if not exists:
        report.findings.append(replace(table_missing(session, contract, report.revision), severity="warning"))
    current_hold = hold.read(session)
    if current_hold:
        report.findings.append(hold.to_finding(session, current_hold))
        report.put(_hold_facts(current_hold))
    report.findings += [replace(f, severity="warning") for f in write_findings(session, our_tables(session))]
    report.findings += writable(session, *BOOKKEEPING, WORK, contract.quarantine)
    report.findings += quarantine_findings(session, contract)
    report.findings += activity_findings(session)
    size = briefly(session, partial(table_size, session, contract.table)) if exists else None
    report.put(_facts(session, report, size))
    put_asked(session, report)
    report.put(_catalog_facts(session, report))
    report.put(quarantine_facts(session, contract))


def _hold_facts(found: hold.Hold) -> HoldFacts:
    return HoldFacts(
        found.held_by, found.held_at, found.revision or "base", found.command, rollback_finished=found.finished
    )


def _facts(session: Session, report: Report, size: TableSize | None) -> StatusFacts:
    target, state = session.target.name, chain_state(session)
    written = int(str(state["rows"])) if state else None
    pending = history(target)[position(target, report.revision) :]
    return StatusFacts(
        applied=len(applied(target, report.revision)),
        pending=tuple(f"{r.id} {r.title.partition(':')[0]}" for r in pending),
        backfill="not started" if state is None else "done" if state["done"] else f"{written:,} rows so far",
        journal=journal.journal_facts(session).links,
        lock=holder(session) or "free",
        building=_builds(session, contract_at(target, report.revision)),
        running=running_work(session),
        latest_runs=ledger.latest(session),
        runners=tuple(Runner(h["pid"], h["application"], h["role"], h["seconds"]) for h in holders(session)),
        backfilled_rows=written,
        rows_estimated=size.rows if size else None,
        table_bytes=size.main_bytes if size else None,
        with_documents_and_indexes_bytes=size.total_bytes if size else None,
    )


def _catalog_facts(session: Session, report: Report) -> CatalogFacts:
    """Return the promised rules, and both indexes, promised or not, some of which may be building."""
    contract = contract_at(session.target.name, report.revision)
    rules = catalog_facts(session, contract, set(parts(session.target.name, report.revision))).rules
    builds = _builds(session, contract)
    states = {index.name: index_state(session, contract, index) for index in _indexes(contract)}
    return CatalogFacts(rules, {n: "building" if n in builds else state for n, state in states.items()})


def _builds(session: Session, contract: Contract) -> dict[str, int]:
    return building(session, contract.table, [index.name for index in _indexes(contract)])


def _indexes(contract: Contract) -> tuple[Index, Index]:
    return contract.idempotency_index(), contract.chain_index()
