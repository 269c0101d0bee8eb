"""`upgrade`: audit, migrate, put back what is missing, verify.

It runs at every pod start and mostly has nothing to do: only then is loaded what doing something needs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, READ_BY_ALL, WORK, share
from aoc_migrate.database.own_tables import blind_readers, writable
from aoc_migrate.database.session import Session
from aoc_migrate.database.transcript import Transcript
from aoc_migrate.errors import refused
from aoc_migrate.inspect.catalog_state import REPAIRABLE
from aoc_migrate.inspect.session_checks import table_missing, writing
from aoc_migrate.report.model import Finding, Next, Report
from aoc_migrate.revisions.current import catalog_findings, changing, locked, our_tables
from aoc_migrate.revisions.graph import applied, contract_at, position, resolve
from aoc_migrate.run import hold


@dataclass(frozen=True)
class UpgradeOptions:
    """Options of `upgrade`. ``revision`` may be relative; ``limit`` caps samples.

    ``keep`` is given the reports of the audit and of verify, and ``write`` the SQL while it runs.
    """

    revision: str = "head"
    release_hold: bool = False
    no_create: bool = False
    limit: int = 200
    keep: Callable[[str, Report], None] | None = None
    write: Callable[[str], None] | None = None


def run_upgrade(session: Session, report: Report, options: UpgradeOptions) -> None:
    """Audit, upgrade, put back what is missing, verify. At head with a clean catalog no lock is taken."""
    target = session.target.name
    goal = _goal_up(target, options.revision, report.revision)
    if _stops(session, report, options, goal):
        return
    if not _needed(session, report.revision, goal) and not _to_release(session, options):
        report.next = Next(f"aoc-migrate verify {target}", note="Nothing to do. verify checks more.")
        return
    report.findings += writing(session, our_tables(session))
    if not report.errors:
        _upgrade(session, report, options, goal)


def _upgrade(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> None:
    """Do it, under the lock; what another run has done meanwhile is looked at again."""
    from aoc_migrate.inspect.cost import estimated, measure
    from aoc_migrate.revisions import ledger

    target = session.target.name
    with locked(session, report):
        if _stops(session, report, options, goal):
            return
        if options.revision.startswith("+"):
            goal = resolve(target, options.revision, report.revision)
        if not _needed(session, report.revision, goal) and not _to_release(session, options):
            report.next = Next(f"aoc-migrate verify {target}", note="Another run has already done this.")
            return
        report.findings += _before(session, report, options, goal)
        _keep(session, report, options, "audit")
        if report.errors:
            note = "Nothing was changed. Fix what the findings name first."
            report.next = Next(f"aoc-migrate upgrade {target}", note=note)
            return
        contract = contract_at(target, goal)
        costs = measure(session, contract)
        if options.write:
            session.transcript = Transcript(session.connection, options.write)
        recorded = ledger.recorded(session, report, "upgrade", goal)
        with recorded, changing(session, report), estimated(session, contract, costs):
            if hold.read(session) is not None:
                hold.release(session)
                report.changed = True
            _go_up(session, report.revision, goal)
            _share(session)
        session.transcript = None
    _verify(session, report, options.limit)
    _keep(session, report, options, "verify")
    ledger.judged(session, report)


def _keep(session: Session, report: Report, options: UpgradeOptions, command: str) -> None:
    if options.keep:
        options.keep(command, replace(report, steps=[], findings=list(report.findings)))


def _goal_up(target: str, wanted: str, current: str | None) -> str | None:
    if wanted.startswith("-"):
        raise refused(f"upgrade cannot go down to {wanted}. Run: aoc-migrate downgrade {target} {wanted}")
    goal = resolve(target, wanted, current)
    if position(target, goal) < position(target, current):
        raise refused(f"{target} is at {current}, beyond {goal or 'base'}. To go down, use aoc-migrate downgrade.")
    return goal


def _stops(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> bool:
    """Add what ends an upgrade before anything is done: a hold, or a missing table."""
    held = hold.read(session)
    if held is not None and not options.release_hold:
        report.findings = [hold.to_finding(session, held)]
        up = f"aoc-migrate upgrade {session.target.name} --release-hold"
        report.next = Next(choices=(up,), note="A plain upgrade changes nothing under a hold.")
        return True
    contract = contract_at(session.target.name, goal)
    missing = catalog.kind(session, contract.table) is None
    if missing and (options.no_create or report.revision is not None):
        report.findings.append(table_missing(session, contract))
        return True
    return False


def _to_release(session: Session, options: UpgradeOptions) -> bool:
    return options.release_hold and hold.read(session) is not None


def _needed(session: Session, current: str | None, goal: str | None) -> bool:
    if position(session.target.name, current) < position(session.target.name, goal):
        return True
    if current is not None and blind_readers(session):
        return True
    return any(finding.severity == "error" for finding in catalog_findings(session, current))


def _before(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> list[Finding]:
    """Audit; what the catalog lacks and convergence cannot repair counts as well."""
    from aoc_migrate.database.attached_code import DDL, code_findings
    from aoc_migrate.inspect.server_activity import surroundings
    from aoc_migrate.run.audit import audit, audit_plan

    wrong = [f for f in catalog_findings(session, report.revision) if f.slug not in REPAIRABLE]
    contract = contract_at(session.target.name, goal)
    wrong += writable(session, *BOOKKEEPING, WORK, contract.quarantine)
    wrong += surroundings(session)
    if catalog.kind(session, contract.table) is None:
        return wrong + code_findings(session, contract, DDL)
    return wrong + audit(session, audit_plan(session, goal, limit=options.limit), lambda _: None)


def _go_up(session: Session, current: str | None, goal: str | None) -> None:
    from alembic import command

    from aoc_migrate.run.alembic_env import make_config, run_functions

    target = session.target.name
    if any(f.slug in REPAIRABLE for f in catalog_findings(session, current)):
        run_functions(session, list(applied(target, current)), "upgrade")
    if goal is not None and position(target, current) < position(target, goal):
        command.upgrade(make_config(session), goal)


def _share(session: Session) -> None:
    """Let new readers of the raw table read revision and hold, as `wait` does."""
    readers = blind_readers(session)
    if readers:
        begun = time.monotonic()
        session.run(share(session.schema, session.raw))
        label = f"GRANT SELECT ON {', '.join(READ_BY_ALL)} TO {', '.join(readers)}"
        session.note(label, total=time.monotonic() - begun)


def _verify(session: Session, report: Report, limit: int) -> None:
    from aoc_migrate.run.verify import VerifyOptions, verify_all

    target = session.target.name
    told = {(f.slug, f.subject) for f in report.findings}
    before, report.findings = report.findings, []
    verify_all(session, report, contract_at(target, report.revision), VerifyOptions(limit, probe=True))
    report.findings = before + [f for f in report.findings if (f.slug, f.subject) not in told]
    report.failed = bool(report.errors)
    report.next = Next(f"aoc-migrate verify {target}")
