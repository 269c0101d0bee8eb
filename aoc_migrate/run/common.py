"""What every verb shares: a report per target, and one way to end when something stops it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import psycopg

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.books import BOOKS, STATE
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.settings import Flags, Limits, Target
from aoc_migrate.database.view import guard_function
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.place import current_revision, reading
from aoc_migrate.inspect.verify import verify_catalog
from aoc_migrate.report.accepted import NOTHING, Accepted
from aoc_migrate.report.model import LATER, Finding, Report, Stopped, make
from aoc_migrate.run.history import contract_at, head, history, parts, revision_of, swap_of

if TYPE_CHECKING:
    from aoc_migrate.inspect.audit import Plan

Verb = Callable[[Session, Report], None]


@dataclass(frozen=True)
class Options:
    """Options that more than one verb takes."""

    limits: Limits = field(default_factory=Limits)
    flags: Flags = field(default_factory=Flags)
    limit: int = 200
    allow_pooler: bool = False
    accepted: Accepted = NOTHING

    def parameters(self) -> dict[str, object]:
        """Return what a report tells of them: limits in seconds, and the guide's flags."""
        return {**asdict(self.limits), **asdict(self.flags), "limit": self.limit}


def new_report(target: Target, options: Options) -> Report:
    """Return the report of a command that has found nothing yet."""
    return Report(target.name, head(target.name), parameters=options.parameters())


def refusal(target: Target, command: str, options: Options, error: AocError) -> Report:
    """Return the report of a target that a command does not fit, beside another target that it fits."""
    report = new_report(target, options)
    found = make("refused", target.name, reason=str(error), command=command)
    report.findings = [replace(found, exit_code=error.exit_code)]
    return report


def on_target(target: Target, command: str, options: Options, verb: Verb) -> Report:
    """Connect, run ``verb`` and return its report; whatever stops it becomes a finding of the report."""
    report = new_report(target, options)
    begun = time.monotonic()
    try:
        with connect(target, command, options.limits, options.flags, options.accepted) as session:
            _on_session(session, report, command, options, verb)
    except Stopped as stopped:
        report.findings.append(stopped.finding)
        report.failed = report.changed and stopped.finding.exit_code != LATER
    report.seconds = time.monotonic() - begun
    return report


def _on_session(session: Session, report: Report, command: str, options: Options, verb: Verb) -> None:
    try:
        report.server_version = session.connection.info.parameter_status("server_version")
        report.findings += reading(session, allow_pooler=options.allow_pooler)
        if not report.errors:
            report.revision = read_revision(session)
            report.reached = True
            verb(session, report)
    except psycopg.Error as error:
        from aoc_migrate.database.patience import failed

        raise Stopped(failed(session, command, error)) from None
    finally:
        report.steps = session.steps
        report.findings += session.findings


@contextmanager
def changing(session: Session, report: Report) -> Iterator[None]:
    """Note in the report whether the steps inside changed anything, and where the revision is afterwards."""
    before, steps = report.revision, len(session.steps)
    try:
        yield
    finally:
        if not session.connection.closed:
            report.revision = read_revision(session)
        report.changed |= len(session.steps) > steps or report.revision != before


@contextmanager
def locked(session: Session, report: Report) -> Iterator[None]:
    """Hold the runners' lock; the report's revision is what it is since then, whatever ran while we waited.

    What runs inside waits for others and makes way for them: at its end the report says, once, if this role does
    not see them. Raises Stopped ``lock-held`` (exit 3).
    """
    from aoc_migrate.database.lock import runner_lock
    from aoc_migrate.inspect.surroundings import limited_visibility

    limited = limited_visibility(session)  # now: at the end the connection may be gone
    try:
        with runner_lock(session):
            report.revision = read_revision(session)
            yield
    finally:
        known = {finding.slug for finding in report.findings}
        report.findings += [finding for finding in limited if finding.slug not in known]


def read_revision(session: Session) -> str | None:
    """Return the revision the database is at, None at base. Raises Stopped for a foreign one."""
    return current_revision(session, [r.id for r in history(session.target.name)])


def was_swapped(session: Session) -> bool:
    """Return whether the view swap was done by our revision."""
    swap = swap_of(session.target.name)
    if swap is None:
        return False
    if catalog.readable(session, STATE):
        state = catalog.state(session, swap[1])
        return bool(state and state["swapped"])
    named = str(session.schema[guard_function(swap[0])])  # a verifier of one tenant may not read what was recorded
    return session.value("SELECT to_regproc(%s) IS NOT NULL", (named,)) is True


def chain_state(session: Session) -> dict[str, object] | None:
    """Return what the backfill keeps: cursor, rows written, done, started_at."""
    return catalog.state(session, revision_of(session.target.name, Part.CHAIN))


def backfilled_at(session: Session) -> str | None:
    """Return since when the backfill has kept the links: rows stored later may be late.

    A verifier of one tenant may not read that; to it every row may be late.
    """
    if catalog.kind(session, STATE) is not None and not catalog.readable(session, STATE):
        return "-infinity"
    started = (chain_state(session) or {}).get("started_at")
    return str(started) if started else None


def catalog_findings(session: Session, revision: str | None) -> list[Finding]:
    """Return what the catalog says is wrong at ``revision``."""
    target = session.target.name
    swap = swap_of(target)
    return verify_catalog(
        session,
        contract_at(target, revision),
        parts(target, revision),
        swap[0] if swap else None,
        swapped=was_swapped(session),
    )


def plan(session: Session, goal: str | None, **options: object) -> "Plan":
    """Return what an audit for revision ``goal`` has to look at."""
    from aoc_migrate.inspect.audit import Plan

    target = session.target.name
    swap, linked = swap_of(target), chain_state(session)
    return Plan(
        contract=contract_at(target, goal),
        parts=frozenset(parts(target, goal)),
        swap=swap[0] if swap else None,
        linked=bool(linked and linked["done"]),
        swapped=bool(swap and catalog.state(session, swap[1])),
        **options,  # type: ignore[arg-type]
    )


def our_tables(session: Session) -> list[str]:
    """Return the tables that revisions of this target alter or keep their books in, as far as they exist."""
    target = session.target.name
    swap = swap_of(target)
    names = [contract_at(target, None).table, *([swap[0].view, swap[0].backup] if swap else [])]
    return [name for name in (*names, *BOOKS) if catalog.kind(session, name) is not None]
