"""`status`: the state of a target."""

from dataclasses import replace

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, WORK
from aoc_migrate.database.own_tables import writable
from aoc_migrate.database.partitions import building
from aoc_migrate.database.runner_lock import holder
from aoc_migrate.database.session import Session
from aoc_migrate.inspect import journal
from aoc_migrate.inspect.catalog_state import catalog_facts
from aoc_migrate.inspect.server_activity import activity_findings
from aoc_migrate.inspect.session_checks import table_missing, write_findings
from aoc_migrate.quarantine.contents import quarantine_facts, quarantine_findings
from aoc_migrate.report.facts.target_state import CatalogFacts, StatusFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.current import chain_state, our_tables
from aoc_migrate.revisions.graph import applied, contract_at, history, parts, position
from aoc_migrate.run import hold
from aoc_migrate.run.running_work import running_work


def run_status(session: Session, report: Report) -> None:
    """Report revision, pending revisions, rules guarded or proven, hold, lock and what runs now."""
    target = session.target.name
    contract = contract_at(target, report.revision)
    rules = catalog_facts(session, contract, set(parts(target, report.revision))).rules
    pending = history(target)[position(target, report.revision) :]
    ours = [contract.idempotency_index(), contract.chain_index()]
    builds = building(session, contract.table, [index.name for index in ours])
    states = {index.name: catalog.index_state(session, contract.table, index) for index in ours}
    indexes = {name: "building" if name in builds else state for name, state in states.items()}
    state = chain_state(session)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(replace(table_missing(session, contract), severity="warning"))
    report.findings += hold.findings(session)
    report.findings += [replace(f, severity="warning") for f in write_findings(session, our_tables(session))]
    report.findings += writable(session, *BOOKKEEPING, WORK, contract.quarantine)
    report.findings += quarantine_findings(session, contract)
    report.findings += activity_findings(session)
    report.put(
        StatusFacts(
            applied=len(applied(target, report.revision)),
            pending=tuple(f"{r.id} {r.title.partition(':')[0]}" for r in pending),
            backfill="not started"
            if state is None
            else ("done" if state["done"] else f"{state['rows']:,} rows so far"),
            journal=journal.journal_facts(session).links,
            lock=holder(session) or "free",
            building=builds,
            running=running_work(session),
        )
    )
    report.put(CatalogFacts(rules, indexes))
    report.put(quarantine_facts(session, contract))
