"""`downgrade` and `constraints --remove`: undo revisions, with the same checks as `upgrade`, and leave a hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import code_findings
from aoc_migrate.database.bookkeeping import HOLD, LOG, STATE
from aoc_migrate.database.events import DDL
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.cost import estimated, measure
from aoc_migrate.inspect.replication import PUBLISHED, SUBSCRIBED, replication_findings
from aoc_migrate.inspect.session_checks import write_findings
from aoc_migrate.operations.step import Kind, objects_left
from aoc_migrate.operations.supersedes.set_back import objections_to_restore
from aoc_migrate.quarantine.contents import journaled_in_quarantine, moved_ids
from aoc_migrate.report.model import Finding, Next, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import changing, locked, lost_links, our_tables, was_swapped
from aoc_migrate.revisions.graph import Revision, applied, contract_at, history, position, resolve, swap_of
from aoc_migrate.revisions.objections import objections
from aoc_migrate.run import hold
from aoc_migrate.run.stop import between, go_through, stopped
from aoc_migrate.run.target_run import Options

_REMOVE = "constraints --remove"


def run_downgrade(session: Session, report: Report, revision: str) -> None:
    """Go down to ``revision`` and leave a hold. An unfinished relative downgrade is resumed, not repeated."""
    target = session.target.name
    if revision.startswith("+"):
        raise refused(f"downgrade cannot go up to {revision}. Run: aoc-migrate upgrade {target} {revision}")
    relative = revision.startswith("-")
    if not relative:
        resolve(target, revision, report.revision)
    report.findings += write_findings(session, our_tables(session))
    if report.errors:
        return
    with locked(session, report):
        current_hold = hold.read(session)
        resumed = _resumed(current_hold, f"downgrade {revision}") if relative else None
        if resumed:
            goal = resumed.revision
            if resumed.finished:
                values = {"command": resumed.command, "revision": goal or "base"}
                report.findings.append(finding("already-finished", target, **values))
        else:
            goal = resolve(target, revision, report.revision)
            if position(target, goal) > position(target, report.revision):
                raise refused(
                    f"{target} is at {report.revision or 'base'}, below {goal}. To go up, use aoc-migrate upgrade."
                )
            if goal == report.revision and _goes_below(current_hold, target, goal):
                report.findings += hold.unfinished(session)
                return
        contract = contract_at(target, report.revision)
        above = _above(session, report.revision)
        undone = [*above, *(r for r in applied(target, report.revision) if r not in applied(target, goal))]
        if _blocked(session, report, contract, undone):
            return
        current_hold = resumed or hold.begin(session, f"downgrade {revision}", goal, acknowledged=not relative)
        report.changed |= resumed is None
        if any(revision.removable for revision in undone):
            _warn_guard(session, report)
        report.findings += lost_links(session, report.revision, goal)
        in_quarantine = journaled_in_quarantine(session, contract) if _sets_back(undone) else 0
        costs = measure(session, contract, links=False)
        recorded = ledger.recorded(session, report, f"downgrade {revision}", goal)
        kept_links = _reporting_kept_links(session, report, contract, in_quarantine)
        with recorded, changing(session, report), estimated(session, contract, costs), kept_links:
            reached = _go_down(session, above, report.revision, goal)
        if reached != goal:
            stop = reached or "base"
            report.next = Next(f"aoc-migrate downgrade {target} {goal or 'base'}")
            report.findings += stopped(session, reached, goal, report.next.command)
            current_hold = replace(current_hold, command=f"downgrade {stop}", revision=reached, acknowledged=True)
        hold.finish(session, current_hold)
    report.findings += hold.findings(session)


def _goes_below(current_hold: hold.Hold | None, target: str, revision: str | None) -> bool:
    """Return whether a downgrade that has not finished may have undone something of ``revision``."""
    if current_hold is None or current_hold.finished or current_hold.command == _REMOVE:
        return False
    return position(target, current_hold.revision) < position(target, revision)


def _resumed(current_hold: hold.Hold | None, command: str) -> hold.Hold | None:
    """Return the hold if ``command`` left it and did not finish, or nobody has seen that it did."""
    if current_hold is None or current_hold.command != command:
        return None
    return None if current_hold.finished and current_hold.acknowledged else current_hold


def _blocked(session: Session, report: Report, contract: Contract, undone: Sequence[Revision]) -> bool:
    """Add the findings that stop a rollback of the revisions ``undone``; return whether there are any."""
    found = [*code_findings(session, contract, DDL), *objections(session, undone, "downgrade")]
    if _sets_back(undone):
        found += objections_to_restore(session, contract)
    found += _replication(session, contract, undone)
    report.findings += found
    return bool(found)


def _sets_back(undone: Sequence[Revision]) -> bool:
    return any(revision.part is Part.CHAIN for revision in undone)


def _replication(session: Session, contract: Contract, undone: Sequence[Revision]) -> Iterator[Finding]:
    found = swap_of(session.target.name)
    swap = found.swap if found and found.revision in [r.id for r in undone] and was_swapped(session) else None
    renamed = [(slug, swap.backup) for slug in (PUBLISHED, SUBSCRIBED)] if swap else []
    yield from replication_findings(session, contract, renamed, swap, (STATE, HOLD, LOG))


def acknowledge(target: Target, options: Options, revision: str) -> None:
    """Record that the report of a relative downgrade is printed, so that the same command goes further down.

    If that cannot be recorded, the same command changes nothing and says so.
    """
    if revision.startswith("-"):
        with (
            suppress(psycopg.Error, Abort),
            connect(target, "downgrade", options.limits, options.flags) as session,
        ):
            hold.acknowledge(session, f"downgrade {revision}")


def _go_down(session: Session, above: Sequence[Revision], current: str | None, goal: str | None) -> str | None:
    """Go down; return where that ended, at the goal or where somebody stopped it."""
    from alembic import command

    from aoc_migrate.run.alembic_env import make_config, run_functions

    run_functions(session, above, "downgrade")
    if current == goal:
        return goal
    config, way = make_config(session), between(session.target.name, current, goal)
    return go_through(session, way, lambda revision: command.downgrade(config, revision or "base"))


def _above(session: Session, current: str | None) -> list[Revision]:
    """Return the revisions above ``current`` that left something in the database, the last first.

    An upgrade may have ended half way through a revision, and the psql script of the constraints may guard content
    before the history gets there.
    """
    if catalog.kind(session, STATE) is None:
        return []  # no revision has ever begun
    target = session.target.name
    above = history(target)[position(target, current) :]
    return [revision for revision in reversed(above) if _left(session, revision)]


def _left(session: Session, revision: Revision) -> bool:
    """Return whether the catalog has something that the downgrade of ``revision`` drops, or a record of it.

    A record that stayed would pass for what the next upgrade finds.
    """
    from aoc_migrate.revisions.revision_sql import collect

    steps = [step for group in collect(revision, "downgrade", session.schema, None) for step in group]
    left = [objects_left(steps), *(step.needed for step in steps if step.kind is Kind.FORGET)]
    with own_tables_locked(session, STATE):
        return bool(session.value(f"SELECT {' OR '.join(left)}"))


def _warn_guard(session: Session, report: Report) -> None:
    if session.flags.guard_enabled:
        report.findings.append(finding("guard-still-on", session.target.name))


@contextmanager
def _reporting_kept_links(
    session: Session, report: Report, contract: Contract, in_quarantine: int
) -> Iterator[None]:
    """Report the links that were not set back, even if the downgrade fails.

    ``in_quarantine``: the links in the journal whose rows were in quarantine before.
    """
    try:
        yield
    finally:
        count = sum(step.kept or 0 for step in session.steps)
        if count:
            report.findings += _kept_links(session, contract, count, in_quarantine)


def _kept_links(session: Session, contract: Contract, count: int, in_quarantine: int) -> Iterator[Finding]:
    """Yield why ``count`` links were not set back. After a lost connection, the sample is empty."""
    lost, ids = session.connection.closed, session.kept_links
    moved = in_quarantine - (0 if lost else journaled_in_quarantine(session, contract))
    if moved:
        yield finding("rows-in-quarantine", contract.quarantine, count=moved, rows=moved)
    changed = count - moved
    if changed > 0:
        without = set(ids) if lost else moved_ids(session, contract, ids)
        sample = [{"id": id_} for id_ in ids if id_ not in without]
        yield finding("rows-changed-since", contract.table, count=changed, rows=changed, sample=sample)


def run_remove_constraints(session: Session, report: Report) -> None:
    """Drop CHECKs, our NOT NULLs and the idempotency index, and leave a hold; chain and view stay."""
    from aoc_migrate.run.alembic_env import run_functions

    target = session.target.name
    report.findings += write_findings(session, our_tables(session))
    if report.errors:
        return
    with locked(session, report):
        if not _to_remove(session, report.revision):
            report.findings += hold.findings(session)
            if not report.findings:
                note = "There is nothing to remove. This leaves no hold: an upgrade adds the constraints."
                report.next = Next(f"aoc-migrate status {target}", note=note)
            return
        contract = contract_at(target, report.revision)
        removable = [r for r in reversed(applied(target, report.revision)) if r.removable]
        if _blocked(session, report, contract, removable):
            return
        above = [revision for revision in _above(session, report.revision) if revision.removable]
        unfinished = _goes_below(hold.read(session), target, report.revision)  # its hold stays
        new_hold = None if unfinished else hold.begin(session, _REMOVE, report.revision)
        report.changed = True
        _warn_guard(session, report)
        recorded = ledger.recorded(session, report, _REMOVE, report.revision)
        with recorded, changing(session, report):
            run_functions(session, [*above, *removable], "downgrade")
        if new_hold:
            hold.finish(session, new_hold)
    report.findings += hold.findings(session)


def _to_remove(session: Session, current: str | None) -> bool:
    """Return whether there is a constraint or index of ours, or an unfinished removal to finish."""
    if current is None:
        return False
    current_hold = hold.read(session)
    if current_hold is not None and current_hold.command == _REMOVE and not current_hold.finished:
        return True
    return any(_left(session, revision) for revision in history(session.target.name) if revision.removable)
