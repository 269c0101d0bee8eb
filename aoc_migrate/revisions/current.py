"""Where a database is in its history, what should hold there, and the lock under which that changes."""

from collections.abc import Iterator
from contextlib import contextmanager

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, STATE
from aoc_migrate.database.session import Session
from aoc_migrate.database.view import guard_function
from aoc_migrate.inspect.catalog_state import verify_catalog
from aoc_migrate.inspect.session_checks import current_revision
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.revisions.graph import contract_at, history, parts, revision_of, swap_of


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
    not see them. Raises Abort ``lock-held`` (exit 3).
    """
    from aoc_migrate.database.runner_lock import runner_lock
    from aoc_migrate.inspect.server_activity import limited_visibility

    limited = limited_visibility(session)  # now: at the end the connection may be gone
    try:
        with runner_lock(session):
            report.revision = read_revision(session)
            yield
    finally:
        known = {finding.slug for finding in report.findings}
        report.findings += [finding for finding in limited if finding.slug not in known]


def read_revision(session: Session) -> str | None:
    """Return the revision the database is at, None at base. Raises Abort for a foreign one."""
    return current_revision(session, [r.id for r in history(session.target.name)])


def was_swapped(session: Session) -> bool:
    """Return whether the view swap was done by our revision."""
    found = swap_of(session.target.name)
    if found is None:
        return False
    if catalog.may_read(session, STATE):
        state = catalog.state(session, found.revision)
        return bool(state and state["swapped"])
    named = str(
        session.schema[guard_function(found.swap)]
    )  # a verifier of one tenant may not read what was recorded
    return session.value("SELECT to_regproc(%s) IS NOT NULL", (named,)) is True


def chain_state(session: Session) -> dict[str, object] | None:
    """Return what the backfill keeps: cursor, rows written, done, started_at."""
    return catalog.state(session, revision_of(session.target.name, Part.CHAIN))


def backfilled_at(session: Session) -> str | None:
    """Return since when the backfill has kept the links: rows stored later may be late.

    A verifier of one tenant may not read that; to it every row may be late.
    """
    if catalog.kind(session, STATE) is not None and not catalog.may_read(session, STATE):
        return "-infinity"
    started = (chain_state(session) or {}).get("started_at")
    return str(started) if started else None


def catalog_findings(session: Session, revision: str | None) -> list[Finding]:
    """Return what the catalog says is wrong at ``revision``."""
    target = session.target.name
    found = swap_of(target)
    return verify_catalog(
        session,
        contract_at(target, revision),
        parts(target, revision),
        found.swap if found else None,
        swapped=was_swapped(session),
    )


def our_tables(session: Session) -> list[str]:
    """Return the tables that revisions of this target alter or keep their records in, as far as they exist."""
    target = session.target.name
    found = swap_of(target)
    names = [contract_at(target, None).table, *([found.swap.view, found.swap.backup] if found else [])]
    return [name for name in (*names, *BOOKKEEPING) if catalog.kind(session, name) is not None]
