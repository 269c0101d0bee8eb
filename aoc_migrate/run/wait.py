"""`wait`: until the database answers and is at head."""

import time

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import HOLD, VERSION
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.session import Session, connect, first_line, say
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.session_checks import grant_select
from aoc_migrate.report.facts.standing import WaitFacts
from aoc_migrate.report.model import TRY_LATER, Report, finding
from aoc_migrate.revisions.current import read_revision
from aoc_migrate.revisions.graph import head, history, position
from aoc_migrate.run import hold
from aoc_migrate.run.target_run import Options

POLL = 1.0  # seconds between two looks
SECONDS_BETWEEN_LINES = 10.0  # that say the same


def run_wait(target: Target, options: Options, timeout: float) -> Report:
    """Wait until ``target`` is at head, or held where it is; the report says which.

    SELECT on the version table is enough, but for seeing a hold. After ``timeout`` seconds: finding
    ``not-ready`` (exit 3).
    """
    report = Report(target.name, head(target.name))
    begun, line = time.monotonic(), EverySeconds(SECONDS_BETWEEN_LINES)
    while True:
        try:
            with connect(target, "wait", options.limits, options.flags) as session:
                missing = _look(session, report)
        except Abort as stopped:
            missing = stopped.finding.problem
            if stopped.finding.exit_code != TRY_LATER:
                report.findings.append(stopped.finding)
                return report
        except psycopg.Error as error:
            missing = first_line(error, target)
        waited = time.monotonic() - begun
        if missing is None:
            report.put(WaitFacts(round(waited, 1)))
            return report
        if waited >= timeout:
            report.findings.append(finding("not-ready", target.name, waited=f"{waited:.0f} s", missing=missing))
            return report
        if line.due(missing):
            say(f"{target.name}: {missing} ({waited:.0f} s so far)")
        time.sleep(min(POLL, timeout))


def _look(session: Session, report: Report) -> str | None:
    """Return what is missing, None when there is nothing more to wait for."""
    target = session.target.name
    if catalog.kind(session, VERSION) is not None and not catalog.may_read(session, VERSION):
        role = session.value("SELECT quote_ident(current_user)")
        remedy = f"Run: {grant_select(session, VERSION)}"
        raise Abort(finding("privileges", VERSION, role=role, action=f"read {VERSION}", remedy=remedy))
    report.revision, report.reached = read_revision(session), True
    if report.revision == report.head:
        return None
    unseen = ""
    if catalog.may_read(session, HOLD):
        held = hold.read(session)
        if held is not None and held.finished:
            report.findings = [hold.to_finding(session, held)]
            return None
    elif catalog.kind(session, HOLD) is not None:
        unseen = f"; cannot see holds (run: {grant_select(session, HOLD)})"
    from aoc_migrate.database.runner_lock import holder

    following = history(target)[position(target, report.revision)]
    by = holder(session)
    running = f"the lock is held by {by}" if by else "no run is in progress"
    return f"at {report.revision or 'base'}, waiting for {following.id} ({following.title}), {running}{unseen}"
