"""`downgrade` and `constraints --remove`: down with the same care as up, and a hold at the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database.attached_code import DDL, code_findings
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.cost import estimated, measure
from aoc_migrate.inspect.session_checks import writing
from aoc_migrate.operations.supersedes.set_back import objections_to_restore
from aoc_migrate.quarantine.contents import journaled_away, moved_ids
from aoc_migrate.report.model import Finding, Next, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import changing, locked, our_tables
from aoc_migrate.revisions.graph import Revision, applied, contract_at, history, parts, position, resolve
from aoc_migrate.run import hold
from aoc_migrate.run.target_run import Options


def run_downgrade(session: Session, report: Report, wanted: str) -> None:
    """Go down to ``wanted`` and leave a hold. An unfinished downgrade is resumed, not repeated."""
    target = session.target.name
    if wanted.startswith("+"):
        raise refused(f"downgrade cannot go up to {wanted}. Run: aoc-migrate upgrade {target} {wanted}")
    relative = wanted.startswith("-")
    if not relative:
        resolve(target, wanted, report.revision)
    report.findings += writing(session, our_tables(session))
    if report.errors:
        return
    with locked(session, report):
        held = hold.read(session)
        same = held is not None and relative and held.command == f"downgrade {wanted}"
        resumed = held is not None and same and not (held.finished and held.acknowledged)
        if held and resumed:
            goal = held.revision
            if held.finished:
                words = {"command": held.command, "revision": goal or "base"}
                report.findings.append(finding("already-finished", target, **words))
        else:
            goal = resolve(target, wanted, report.revision)
            if position(target, goal) > position(target, report.revision):
                raise refused(
                    f"{target} is at {report.revision or 'base'}, below {goal}. To go up, use aoc-migrate upgrade."
                )
        contract = contract_at(target, report.revision)
        undone = Part.CHAIN in parts(target, report.revision) - parts(target, goal)
        if _objected(session, report, contract, f"downgrade {target} {wanted}", undone=undone):
            return
        if held is None or not resumed:
            held = hold.begin(session, f"downgrade {wanted}", goal, acknowledged=not relative)
            report.changed = True
        _warn_guard(session, report)
        away = journaled_away(session, contract) if undone else 0
        costs = measure(session, contract)
        recorded = ledger.recorded(session, report, f"downgrade {wanted}", goal)
        left = _telling_what_is_left(session, report, contract, away)
        with recorded, changing(session, report), estimated(session, contract, costs), left:
            _go_down(session, report.revision, goal)
        hold.finish(session, held)
    _after_rollback(session, report)


def _objected(session: Session, report: Report, contract: Contract, command: str, *, undone: bool = False) -> bool:
    """Add what speaks against a rollback, and return whether anything does; ``undone``: it sets links back."""
    found = code_findings(session, contract, DDL)
    found += objections_to_restore(session, contract) if undone else []
    report.findings += found
    if found:
        note = "Nothing was changed. Fix what the findings name first."
        report.next = Next(f"aoc-migrate {command}", note=note)
    return bool(found)


def acknowledge(target: Target, options: Options, wanted: str) -> None:
    """Note that the report of a relative downgrade has been printed, so that typing it again is a new one.

    Where that cannot be noted, typing it again changes nothing and says so.
    """
    if wanted.startswith("-"):
        with (
            suppress(psycopg.Error, Abort),
            connect(target, "downgrade", options.limits, options.flags) as session,
        ):
            hold.acknowledge(session, f"downgrade {wanted}")


def _go_down(session: Session, current: str | None, goal: str | None) -> None:
    from alembic import command

    from aoc_migrate.run.alembic_env import make_config, run_functions

    if current != goal:
        run_functions(session, _above(session, current), "downgrade")
        command.downgrade(make_config(session), goal or "base")


def _above(session: Session, current: str | None) -> list[Revision]:
    """Return the removable revisions above ``current`` of which something is there, the last first.

    The psql script of the constraints guards content before the history gets there.
    """
    from aoc_migrate.revisions.revision_sql import collect

    target, found = session.target.name, []
    for revision in reversed(history(target)[position(target, current) :]):
        groups = collect(revision, "downgrade", session.schema, None) if revision.removable else []
        asked = " OR ".join(f"({step.needed})" for group in groups for step in group)
        with own_tables_locked(session, STATE):
            if asked and session.value(f"SELECT {asked}"):
                found.append(revision)
    return found


def _warn_guard(session: Session, report: Report) -> None:
    if session.flags.guard_enabled:
        report.findings.append(finding("guard-still-on", session.target.name))


@contextmanager
def _telling_what_is_left(session: Session, report: Report, contract: Contract, away: int) -> Iterator[None]:
    """Tell which links were left as they are, also where the downgrade stops half way.

    Before it, ``away`` links of the journal were of rows in quarantine.
    """
    try:
        yield
    finally:
        count = sum(step.kept or 0 for step in session.steps)
        if count:
            report.findings += _left(session, contract, count, session.kept_links, away)


def _left(session: Session, contract: Contract, count: int, ids: list[str], away: int) -> Iterator[Finding]:
    """Yield what ``count`` links were left for; of a lost connection's rows nobody can say which ones."""
    lost = session.connection.closed
    away -= 0 if lost else journaled_away(session, contract)
    if away:
        yield finding("rows-in-quarantine", contract.quarantine, count=away, rows=away)
    if count > away:
        moved = set(ids) if lost else moved_ids(session, contract, ids)
        sample = [{"id": id_} for id_ in ids if id_ not in moved]
        yield finding("rows-changed-since", contract.table, count=count - away, rows=count - away, sample=sample)


def _after_rollback(session: Session, report: Report) -> None:
    """Tell of the hold, and what to type next."""
    target = session.target.name
    held = hold.read(session)
    if held:
        report.findings.append(hold.to_finding(session, held))
    up = f"aoc-migrate upgrade {target} --release-hold"
    report.next = Next(choices=(up,), note="A plain upgrade changes nothing under this hold.")


def run_remove_constraints(session: Session, report: Report) -> None:
    """Drop CHECKs, our NOT NULLs and the idempotency index; chain and view stay. Leaves a hold."""
    from aoc_migrate.run.alembic_env import run_functions

    target = session.target.name
    report.findings += writing(session, our_tables(session))
    if report.errors:
        return
    with locked(session, report):
        contract = contract_at(target, report.revision)
        if _objected(session, report, contract, f"constraints {target} --remove"):
            return
        removable = [r for r in reversed(applied(target, report.revision)) if r.removable]
        above = _above(session, report.revision) if report.revision else []
        held = hold.begin(session, "constraints --remove", report.revision)
        report.changed = True
        _warn_guard(session, report)
        recorded = ledger.recorded(session, report, "constraints --remove", report.revision)
        with recorded, changing(session, report):
            run_functions(session, [*above, *removable], "downgrade")
        hold.finish(session, held)
    _after_rollback(session, report)
