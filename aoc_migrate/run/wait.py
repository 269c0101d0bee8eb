"""`wait`: wait until the database answers and is at head."""

import time
from dataclasses import replace

import psycopg
from psycopg.conninfo import make_conninfo

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import HOLD, VERSION
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.log import say
from aoc_migrate.database.pinned_settings import CONNECT_TIMEOUT
from aoc_migrate.database.place import read_place
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.session_checks import grant_select
from aoc_migrate.report.facts.target_state import WaitFacts
from aoc_migrate.report.formatting import seconds_shown
from aoc_migrate.report.model import TRY_LATER, Report, finding
from aoc_migrate.revisions.current import read_revision
from aoc_migrate.revisions.graph import history, position
from aoc_migrate.run import hold
from aoc_migrate.run.target_run import Options, new_report

POLL = 1.0  # seconds
SECONDS_BETWEEN_LINES = 10.0  # for lines that say the same


def run_wait(target: Target, options: Options, timeout: float) -> Report:
    """Wait until ``target`` is at head or under a hold, and return a report that says which.

    SELECT on the version table is enough, except to see a hold. After ``timeout`` seconds, the report has the
    finding ``not-ready`` (exit 3).
    """
    report = new_report(target, options)
    begun, line = time.monotonic(), EverySeconds(SECONDS_BETWEEN_LINES)
    while True:
        left = max(0.001, timeout - (time.monotonic() - begun))
        limits = replace(options.limits, deadline=min(options.limits.deadline, left))  # of the wait for a lock
        try:
            with connect(_patient(target, left), "wait", limits, options.flags) as session:
                report.place = read_place(session)
                missing = _missing(session, report)
        except Abort as stopped:
            missing = stopped.finding.problem
            if stopped.finding.exit_code != TRY_LATER:
                report.findings.append(stopped.finding)
                break
        except psycopg.Error as error:
            missing = first_line(error, target)
        waited = time.monotonic() - begun
        if missing is None:
            report.put(WaitFacts(round(waited, 1)))
            break
        if waited >= timeout:
            report.findings.append(
                finding("not-ready", target.name, waited=seconds_shown(waited), missing=missing)
            )
            break
        if line.due(missing):
            message = f"{missing} ({seconds_shown(waited)} so far)"
            say(message, target.name, event="waiting", waits_for=missing, waited_seconds=round(waited, 1))
        time.sleep(min(POLL, timeout))
    report.end()
    return report


def _patient(target: Target, left: float) -> Target:
    """Return the target, for a connection that waits for an answer only while time is left."""
    seconds = max(2, round(min(CONNECT_TIMEOUT, left)))  # libpq has no shorter timeout
    return replace(target, conninfo=make_conninfo(target.conninfo, connect_timeout=seconds))


def _missing(session: Session, report: Report) -> str | None:
    """Return what is missing, or None once there is nothing to wait for."""
    target = session.target.name
    if catalog.kind(session, VERSION) is not None and not catalog.may_read(session, VERSION):
        role = session.value("SELECT quote_ident(current_user)")
        remedy = f"Run: {grant_select(session, VERSION)}"
        raise Abort(finding("privileges", VERSION, role=role, action=f"read {VERSION}", remedy=remedy))
    report.revision, report.reached = read_revision(session), True
    current_hold = hold.read(session)  # first: constraints are removed at head
    if current_hold is not None and current_hold.finished:
        report.findings = [hold.to_finding(session, current_hold)]
        return None
    if current_hold is None and report.revision == report.head:
        return None
    from aoc_migrate.database.runner_lock import holder

    owner = holder(session)
    running = f"the lock is held by {owner}" if owner else "no run is in progress"
    at = f"at {report.revision or 'base'}"
    if current_hold is not None:
        return f"{at}, {running}; the rollback {current_hold.command} has not finished: run it again"
    following = history(target)[position(target, report.revision)]
    unseen = catalog.kind(session, HOLD) is not None and not catalog.may_read(session, HOLD)
    about_hold = f"; cannot see holds (run: {grant_select(session, HOLD)})" if unseen else ""
    return f"{at}, waiting for {following.id} ({following.title}), {running}{about_hold}"
