"""The verbs that change a database: upgrade, downgrade, constraints --remove, chain --apply, journal drop."""

from dataclasses import dataclass

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import JOURNAL
from aoc_migrate.database.ddl.chain import check_retrofit, relink
from aoc_migrate.database.ddl.table import forget
from aoc_migrate.database.lock import runner_lock
from aoc_migrate.database.session import Session
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.audit import audit
from aoc_migrate.inspect.chain import inspect_chain
from aoc_migrate.inspect.place import table_missing, writing
from aoc_migrate.inspect.verify import MENDABLE
from aoc_migrate.report.model import Finding, Report, make
from aoc_migrate.run import hold
from aoc_migrate.run.common import chain_state, plan, read_revision
from aoc_migrate.run.history import (
    Revision,
    applied,
    contract_at,
    parts,
    position,
    resolve,
    revision_of,
    swap_of,
)
from aoc_migrate.run.inspection import VerifyOptions, catalog_findings, verify_all


@dataclass(frozen=True)
class UpgradeOptions:
    """Options of `upgrade`. ``revision`` may be relative; ``limit`` caps samples."""

    revision: str = "head"
    release_hold: bool = False
    no_create: bool = False
    limit: int = 200
    allowed_triggers: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def run_upgrade(session: Session, report: Report, options: UpgradeOptions) -> None:
    """Audit, upgrade, put back what is missing, verify. At head with a clean catalog no lock is taken."""
    target = session.target.name
    goal = _goal_up(target, options.revision, report.revision)
    if _stops(session, report, options, goal):
        return
    if not _needed(session, report.revision, goal) and hold.read(session) is None:
        report.next = f"nothing to do; to look closer: aoc-migrate verify {target}"
        return
    report.findings += writing(session, _tables(session))
    if report.errors:
        return
    with runner_lock(session):
        report.revision = read_revision(session)
        if _stops(session, report, options, goal):
            return
        if not _needed(session, report.revision, goal) and hold.read(session) is None:
            report.next = f"another run has done it; to look closer: aoc-migrate verify {target}"
            return
        report.findings += _before(session, report, options, goal)
        if report.errors:
            report.next = f"nothing was changed; mend it, then: aoc-migrate upgrade {target}"
            return
        report.findings.clear()
        _go_up(session, report, goal)
    _verify(session, report, options.limit)


def _goal_up(target: str, wanted: str, current: str | None) -> str | None:
    if wanted.startswith("-"):
        raise AocError(
            f"upgrade does not go down: for {wanted} use `aoc-migrate downgrade {target} {wanted}`"
        )
    goal = resolve(target, wanted, current)
    if position(target, goal) < position(target, current):
        raise AocError(f"{target} is at {current}, beyond {goal or 'base'}: use `aoc-migrate downgrade`.")
    return goal


def _stops(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> bool:
    """Add what ends an upgrade before anything is done: a hold, or a missing table."""
    held = hold.read(session)
    if held is not None and not options.release_hold:
        report.findings = [hold.finding(session, held)]
        report.next = f"to go on: aoc-migrate upgrade {session.target.name} --release-hold"
        return True
    contract = contract_at(session.target.name, goal)
    missing = catalog.kind(session, contract.table) is None
    if missing and (options.no_create or report.revision is not None):
        report.findings.append(table_missing(session, contract))
        return True
    return False


def _needed(session: Session, current: str | None, goal: str | None) -> bool:
    if current != goal:
        return True
    return any(finding.severity == "error" for finding in catalog_findings(session, current))


def _tables(session: Session) -> list[str]:
    swap = swap_of(session.target.name)
    contract = contract_at(session.target.name, None)
    names = [contract.table, *([swap[0].view, swap[0].backup] if swap else [])]
    return [name for name in names if catalog.kind(session, name) is not None]


def _before(session: Session, report: Report, options: UpgradeOptions, goal: str | None) -> list[Finding]:
    """Audit; what the catalog lacks and convergence cannot mend counts as well."""
    wrong = [f for f in catalog_findings(session, report.revision) if f.slug not in MENDABLE]
    contract = contract_at(session.target.name, goal)
    if catalog.kind(session, contract.table) is None:
        return wrong
    found = audit(
        session,
        plan(
            session,
            goal,
            limit=options.limit,
            allowed_triggers=options.allowed_triggers,
            accepted=options.accepted,
        ),
    )
    return wrong + found


def _go_up(session: Session, report: Report, goal: str | None) -> None:
    from alembic import command

    from aoc_migrate.run.environment import make_config, run_functions

    target = session.target.name
    if hold.read(session) is not None:
        hold.release(session)
    report.changed = True
    try:
        if any(f.slug in MENDABLE for f in catalog_findings(session, report.revision)):
            run_functions(session, list(applied(target, report.revision)), "upgrade")
        if report.revision != goal and goal is not None:
            command.upgrade(make_config(session), goal)
    finally:
        _note_revision(session, report)


def _note_revision(session: Session, report: Report) -> None:
    if not session.connection.closed and not session.connection.broken:
        report.revision = read_revision(session)


def _verify(session: Session, report: Report, limit: int) -> None:
    target = session.target.name
    verify_all(session, report, contract_at(target, report.revision), VerifyOptions(limit, probe=True))
    report.failed = bool(report.errors)
    report.next = f"aoc-migrate verify {target}"


def run_downgrade(session: Session, report: Report, wanted: str) -> None:
    """Go down to ``wanted`` and leave a hold. An unfinished downgrade is resumed, not repeated."""
    target = session.target.name
    if wanted.startswith("+"):
        raise AocError(f"downgrade does not go up: for {wanted} use `aoc-migrate upgrade {target} {wanted}`")
    relative = wanted.startswith("-")
    if not relative:
        resolve(target, wanted, report.revision)
    report.findings += writing(session, _tables(session))
    if report.errors:
        return
    with runner_lock(session):
        report.revision = read_revision(session)
        held = hold.read(session)
        if held and not held.finished and relative and held.command == f"downgrade {wanted}":
            goal = held.revision
        else:
            goal = resolve(target, wanted, report.revision)
            if position(target, goal) > position(target, report.revision):
                raise AocError(f"{target} is at {report.revision or 'base'}, below {goal}: use upgrade.")
            held = hold.begin(session, f"downgrade {wanted}", goal)
        _warn_guard(session, report)
        _go_down(session, report, goal)
        hold.finish(session, held)
    _after_rollback(session, report)


def _go_down(session: Session, report: Report, goal: str | None) -> None:
    from alembic import command

    from aoc_migrate.run.environment import make_config

    if report.revision == goal:
        return
    report.changed = True
    try:
        command.downgrade(make_config(session), goal or "base")
    finally:
        _note_revision(session, report)


def _warn_guard(session: Session, report: Report) -> None:
    if session.flags.guard_enabled:
        report.findings.append(make("guard-still-on", session.target.name))


def _after_rollback(session: Session, report: Report) -> None:
    target = session.target.name
    for step in session.steps:
        kept = step.pop("kept_ids", [])
        if kept:
            table = contract_at(target, None).table
            sample = [{"id": id_} for id_ in kept]
            count = step["kept"]
            report.findings.append(make("rows-changed-since", table, count=count, rows=count, sample=sample))
    held = hold.read(session)
    if held:
        report.findings.append(hold.finding(session, held))
    report.next = (
        f"a plain upgrade holds still now; to go up again: aoc-migrate upgrade {target} --release-hold"
    )


def run_remove_constraints(session: Session, report: Report) -> None:
    """Drop CHECKs, our NOT NULLs and the idempotency index; chain and view stay. Leaves a hold."""
    from aoc_migrate.run.environment import run_functions

    target = session.target.name
    report.findings += writing(session, _tables(session))
    if report.errors:
        return
    with runner_lock(session):
        report.revision = read_revision(session)
        removable: list[Revision] = [r for r in applied(target, report.revision) if r.removable]
        held = hold.begin(session, "constraints --remove", report.revision)
        _warn_guard(session, report)
        report.changed = bool(removable)
        run_functions(session, removable[::-1], "downgrade")
        hold.finish(session, held)
    _after_rollback(session, report)


def run_chain(session: Session, report: Report, limit: int, apply: bool) -> None:
    """Show the rows whose link is late or broken; with ``apply`` link them anew, journaled."""
    target, contract = session.target.name, contract_at(session.target.name, report.revision)
    if Part.CHAIN not in parts(target, report.revision):
        needed = revision_of(target, Part.CHAIN)
        raise AocError(
            f"{target} has no chain yet: it is made by {needed}. Run: aoc-migrate upgrade {target}"
        )
    started = str((chain_state(session) or {}).get("started_at") or "") or None
    report.findings += inspect_chain(session, contract, started, limit)
    if not apply:
        report.next = f"aoc-migrate chain {target} --apply" if report.findings else ""
        return
    report.findings.clear()
    report.findings += writing(session, [contract.table])
    if report.errors:
        return
    with runner_lock(session):
        check_retrofit(session, contract)
        state = catalog.state(session, "chain")
        if state is None or state["done"]:
            session.run(forget("chain"))
        report.changed = True
        report.facts["linked anew"] = relink(session, contract, "chain")
    report.findings += inspect_chain(session, contract, started, limit)
    report.failed = bool(report.errors)


def run_journal(session: Session, report: Report, drop: bool) -> None:
    """Show the journal of links that were written; with ``drop`` empty it, which ends the way back."""
    if catalog.kind(session, JOURNAL) is None:
        report.facts |= {"batches": 0, "rows": 0}
        return
    query = f"SELECT count(*) AS batches, coalesce(sum(cardinality(ids)), 0)::bigint AS rows FROM {JOURNAL}"
    report.facts |= session.row(query)
    if not drop:
        return
    with runner_lock(session):
        report.changed = bool(report.facts["rows"])
        session.run(f"DELETE FROM {JOURNAL}")
    report.next = "a downgrade of the backfill now leaves the links as they are"
