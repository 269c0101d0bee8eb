"""`upgrade`: audit, migrate, put back what is missing, verify.

It runs at every pod start and usually has nothing to do, so what the work itself needs is imported late.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, READ_BY_ALL, WORK, share
from aoc_migrate.database.own_tables import blind_readers, writable
from aoc_migrate.database.session import Session
from aoc_migrate.database.transcript import Transcript
from aoc_migrate.errors import refused
from aoc_migrate.inspect.catalog_state import LEFTOVER, REPAIRABLE
from aoc_migrate.inspect.session_checks import table_missing, write_findings
from aoc_migrate.report.model import Finding, Report, finding
from aoc_migrate.revisions.current import catalog_findings, changing, links_set_back, locked, our_tables
from aoc_migrate.revisions.graph import applied, contract_at, parts, position, resolve, revision_of
from aoc_migrate.run import hold

if TYPE_CHECKING:
    from aoc_migrate.run.approved_plan import ApprovedPlan


@dataclass(frozen=True)
class UpgradeOptions:
    """Options of `upgrade`. ``revision`` may be relative; ``limit`` caps samples.

    ``plan``: the approved plan; what runs is this or nothing.
    ``keep`` receives the reports of audit and verify, and ``write`` the SQL as it runs.
    """

    revision: str = "head"
    release_hold: bool = False
    no_create: bool = False
    limit: int = 200
    plan: "ApprovedPlan | None" = None
    keep: Callable[[str, Report], None] | None = None
    write: Callable[[str], None] | None = None


def run_upgrade(session: Session, report: Report, options: UpgradeOptions) -> None:
    """Audit, upgrade, put back what is missing, verify. At head with a clean catalog, takes no lock."""
    target = session.target.name
    goal = goal_up(target, options.revision, report.revision)
    if _stops(session, report, options, goal):
        return
    if options.plan and _elsewhere(session, report, options.plan):
        return
    if not _needed(session, report.revision, goal) and not _to_release(session, options):
        return
    report.findings += write_findings(session, our_tables(session))
    if not report.errors:
        _upgrade(session, report, options, goal)


def _upgrade(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> None:
    """Upgrade under the lock, after checking again what another run may have done meanwhile."""
    from aoc_migrate.inspect.cost import estimated, measure
    from aoc_migrate.revisions import ledger
    from aoc_migrate.run.stop import stopped
    from aoc_migrate.run.verify import not_at_head

    target, session.linked_at = session.target.name, None
    with locked(session, report):
        if _stops(session, report, options, goal):
            return
        if options.revision.startswith("+"):
            goal = resolve(target, options.revision, report.revision)
        if not _needed(session, report.revision, goal) and not _to_release(session, options):
            return
        report.plan = options.plan.digest if options.plan else None
        if options.plan and _differs(session, report, options.plan, options.limit):
            return
        report.findings += _before(session, report, options, goal)
        _keep(session, report, options, "audit")
        if report.errors:
            return
        contract = contract_at(target, goal)
        linking = Part.CHAIN in parts(target, goal) - parts(target, report.revision)
        costs = measure(session, contract, links=linking or links_set_back(session, report.revision))
        if options.write:
            session.transcript = Transcript(session.connection, options.write)
        creates = catalog.kind(session, contract.table) is None
        recorded = ledger.recorded(session, report, "upgrade", goal)
        with recorded, changing(session, report), estimated(session, contract, costs):
            if hold.read(session) is not None:
                hold.release(session)
                report.changed = True
            reached = _go_up(session, report.revision, goal)
            _share(session)
        session.transcript = None
    report.findings += stopped(session, reached, goal, f"aoc-migrate upgrade {target}")
    if creates:
        report.findings.append(finding("table-created", contract.table, variable=target.upper()))
    _verify(session, report, options.limit)
    _keep(session, report, options, "verify", not_at_head(target, report.revision))
    ledger.record_verify_failure(session, report)


def _keep(
    session: Session, report: Report, options: UpgradeOptions, command: str, more: Sequence[Finding] = ()
) -> None:
    """Keep what the report says so far as the report of ``command``, with findings that only that one has."""
    if options.keep:
        from aoc_migrate.run.target_run import put_work

        put_work(session, report)
        options.keep(command, replace(report, changed=False, steps=[], findings=[*report.findings, *more]))


def goal_up(target: str, revision: str, current: str | None) -> str | None:
    """Return the absolute revision that an upgrade goes to. Raises Abort (exit 2) if that would be down."""
    if revision.startswith("-"):
        raise refused(f"upgrade cannot go down to {revision}. Run: aoc-migrate downgrade {target} {revision}")
    goal = resolve(target, revision, current)
    if position(target, goal) < position(target, current):
        raise refused(f"{target} is at {current}, beyond {goal or 'base'}. To go down, use aoc-migrate downgrade.")
    return goal


def _stops(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> bool:
    """Report a hold or a missing table, either of which ends an upgrade; return whether there is one."""
    current_hold = hold.read(session)
    if current_hold is not None and not options.release_hold:
        report.findings = [hold.to_finding(session, current_hold)]
        return True
    contract = contract_at(session.target.name, goal)
    missing = catalog.kind(session, contract.table) is None
    if missing and (options.no_create or report.revision is not None):
        report.findings.append(table_missing(session, contract, report.revision))
        return True
    return False


def _to_release(session: Session, options: UpgradeOptions) -> bool:
    return options.release_hold and hold.read(session) is not None


def _needed(session: Session, current: str | None, goal: str | None) -> bool:
    if position(session.target.name, current) < position(session.target.name, goal):
        return True
    if current is not None and blind_readers(session):
        return True
    # A downgrade sets links back at this revision alone. A pod that starts at head need not wait for the answer.
    if current == revision_of(session.target.name, Part.CHAIN) and links_set_back(session, current):
        return True
    found = catalog_findings(session, current)
    return any(finding.severity == "error" or finding.slug == LEFTOVER for finding in found)


def _elsewhere(session: Session, report: Report, plan: "ApprovedPlan") -> bool:
    """Report that a plan is for another database, even where there is nothing to do, and return it."""
    from aoc_migrate.run.plan_check import place_findings

    found = place_findings(session, report, plan)
    report.findings += found
    return bool(found)


def _differs(session: Session, report: Report, plan: "ApprovedPlan", limit: int) -> bool:
    """Report whether something else would run than what was approved, and return it."""
    from aoc_migrate.run.plan_check import plan_findings

    found = plan_findings(session, report, plan, limit)
    report.findings += found
    return bool(found)


def _before(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> list[Finding]:
    """Return the findings of the audit, and what is wrong with the catalog that convergence cannot repair."""
    from aoc_migrate.database.attached_code import code_findings
    from aoc_migrate.database.events import DDL
    from aoc_migrate.inspect.replication import replication_findings
    from aoc_migrate.inspect.server_activity import activity_findings
    from aoc_migrate.quarantine.contents import unfinished_findings
    from aoc_migrate.report.facts.raw_rows import AuditFacts
    from aoc_migrate.run.audit import audit, audit_plan

    findings = [f for f in catalog_findings(session, report.revision) if f.slug not in REPAIRABLE]
    contract = contract_at(session.target.name, goal)
    findings += writable(session, *BOOKKEEPING, WORK, contract.quarantine)
    findings += activity_findings(session)
    if catalog.kind(session, contract.table) is None:
        return [*findings, *code_findings(session, contract, DDL), *replication_findings(session, contract, ())]
    findings += unfinished_findings(session, contract)
    plan = audit_plan(session, goal, options.limit)
    return findings + audit(session, plan, lambda rows: report.put(AuditFacts(rows)))


def _go_up(session: Session, current: str | None, goal: str | None) -> str | None:
    """Put back what is missing, and go up; return where that ended, at the goal or where somebody stopped it."""
    from alembic import command

    from aoc_migrate.run.alembic_env import make_config, run_functions
    from aoc_migrate.run.stop import between, go_through

    target = session.target.name
    repairable = any(f.slug in REPAIRABLE for f in catalog_findings(session, current))
    if repairable or links_set_back(session, current):
        run_functions(session, list(applied(target, current)), "upgrade")
    if position(target, current) >= position(target, goal):
        return goal
    config = make_config(session)
    return go_through(
        session, between(target, current, goal), lambda revision: command.upgrade(config, str(revision))
    )


def _share(session: Session) -> None:
    """Let new readers of the raw table read version and hold, which `wait` needs."""
    readers = blind_readers(session)
    if readers:
        begun = time.monotonic()
        session.run(share(session.schema, session.raw))
        label = f"GRANT SELECT ON {', '.join(READ_BY_ALL)} TO {', '.join(readers)}"
        session.note(label, total=time.monotonic() - begun)


def _verify(session: Session, report: Report, limit: int) -> None:
    from aoc_migrate.report.facts.chains import ChainFacts
    from aoc_migrate.report.facts.raw_rows import AuditFacts
    from aoc_migrate.run.verify import VerifyOptions, verify_all

    target = session.target.name
    reported = {(f.slug, f.subject) for f in report.findings}
    before, report.findings = report.findings, []
    options = VerifyOptions(limit, probe=True, proven=True)
    verify_all(session, report, contract_at(target, report.revision), options)
    if report.get(ChainFacts):  # their rows are those that were read last
        report.facts = tuple(facts for facts in report.facts if not isinstance(facts, AuditFacts))
    report.findings = before + [f for f in report.findings if (f.slug, f.subject) not in reported]
    report.failed = bool(report.errors)
