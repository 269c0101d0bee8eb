"""What every verb shares: one report per target, in which an error becomes a finding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import psycopg

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.place import read_place
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort, ended_before
from aoc_migrate.inspect.session_checks import session_findings
from aoc_migrate.report.accepted import NOTHING, Accepted
from aoc_migrate.report.model import TRY_LATER, Next, Report
from aoc_migrate.revisions.current import read_revision
from aoc_migrate.revisions.graph import head
from aoc_migrate.run.next_step import FIX, RETROFIT, next_step, without_query

Verb = Callable[[Session, Report], None]


@dataclass(frozen=True)
class Options:
    """Options that more than one verb takes.

    ``typed``: revision and options as they were typed, quoted. ``named``: the command is for one target; another
    one, which goes through several and stops at the first that fails, is typed again without a name.
    """

    limits: Limits = field(default_factory=Limits)
    flags: Flags = field(default_factory=Flags)
    limit: int = 200
    allow_session_pooler: bool = False
    accept: Accepted = NOTHING
    typed: tuple[str, ...] = ()
    ticket: str | None = None
    named: bool = True

    def parameters(self) -> dict[str, object]:
        """Return the parameters that a report shows: limits in seconds, and the guide's flags."""
        return {**self.limits.shown(), **asdict(self.flags), "limit": self.limit}


def new_report(target: Target, options: Options) -> Report:
    """Return an empty report."""
    return Report(
        target.name,
        head(target.name),
        place=target.place(),
        ticket=options.ticket,
        parameters=options.parameters(),
    )


def refusal(target: Target, options: Options, abort: Abort) -> Report:
    """Return the report of a refused target, for a command that has already reported another target."""
    report = new_report(target, options)
    report.findings = [replace(abort.finding, subject=target.name)]
    report.end()
    return report


def on_target(target: Target, command: str, options: Options, verb: Verb) -> Report:
    """Connect, run ``verb`` and return its report. An error becomes a finding; a refusal is raised."""
    report = new_report(target, options)
    again = " ".join(["aoc-migrate", command, *([target.name] if options.named else []), *options.typed])
    try:
        with connect(target, command, options.limits, options.flags, options.accept) as session:
            _on_session(session, report, command, options, verb)
            with _errors_found(session, command):
                report.next = report.next or next_step(session, report, again)
    except Abort as stopped:
        if ended := ended_before(stopped):
            raise ended from None
        if stopped.refused:
            raise
        report.findings.append(stopped.finding)
        allowed = stopped.finding.slug == "retrofit-not-allowed" or options.flags.allow_supersedes_retrofit
        again = (
            f"{RETROFIT} {again}" if allowed and command.startswith(("upgrade", "chain", "rehearse")) else again
        )
        report.next = Next(again, note="" if stopped.finding.exit_code == TRY_LATER else FIX)
        report.failed = report.changed and stopped.finding.exit_code != TRY_LATER
    report.next = without_query(report.next, options.limits)
    report.end()
    return report


@contextmanager
def _errors_found(session: Session, command: str) -> Iterator[None]:
    """Raise Abort with a finding for an error of PostgreSQL."""
    try:
        yield
    except psycopg.Error as error:
        from aoc_migrate.database.lock_wait import failed

        raise Abort(failed(session, command, error)) from None


def _on_session(session: Session, report: Report, command: str, options: Options, verb: Verb) -> None:
    try:
        with _errors_found(session, command):
            report.place = read_place(session)
            report.findings += session_findings(session, allow_pooler=options.allow_session_pooler)
            if not report.errors:
                report.revision = read_revision(session)
                report.reached = True
                verb(session, report)
    finally:
        report.steps = session.steps
        report.findings += session.findings
        _put_controls(session, report)
        put_work(session, report)


def _put_controls(session: Session, report: Report) -> None:
    """Put what was asked of the run while it was under way into its report."""
    if session.steering and session.steering.changes:
        from aoc_migrate.report.facts.steered import SteeringFacts

        report.put(SteeringFacts(tuple(session.steering.changes)))


def put_work(session: Session, report: Report) -> None:
    """Put into the report what was checked and how often the whole table was read so far, if it was.

    Where something was checked, the session was checked before.
    """
    if session.full_reads:
        from aoc_migrate.report.facts.full_reads import FullReads

        report.put(FullReads.of(session.full_reads))
    if session.checks:
        from aoc_migrate.report.facts.checked import CheckFacts

        of_session = ("server, connection, schema and rights are as needed", None, "", 0)
        report.put(CheckFacts.of([of_session, *session.checks]))
