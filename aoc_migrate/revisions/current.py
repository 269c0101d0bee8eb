"""A database's current revision, what should hold at that revision, and the lock for changing it."""

from collections.abc import Iterator
from contextlib import contextmanager

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, STATE
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.catalog_state import verify_catalog
from aoc_migrate.inspect.session_checks import current_revision
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.revisions.graph import altered_tables, contract_at, history, parts, revision_of, swap_of


@contextmanager
def changing(session: Session, report: Report) -> Iterator[None]:
    """Record in the report whether the block changed anything, and the revision after it."""
    before, steps = report.revision, len(session.steps)
    try:
        yield
    finally:
        if session.connection.closed:
            report.reached = False  # not any more: nobody knows at which revision it is now
        else:
            report.revision = read_revision(session)
        report.changed |= len(session.steps) > steps or report.revision != before


@contextmanager
def locked(session: Session, report: Report) -> Iterator[None]:
    """Hold the run lock, and read the revision again, because another run may have changed it.

    At the end, the report says so if the block cannot see all of the sessions and replicas that it waits for.
    Raises Abort ``lock-held`` (exit 3).
    """
    from aoc_migrate.database.runner_lock import runner_lock
    from aoc_migrate.inspect.server_activity import unseen_findings

    unseen = unseen_findings(session)  # before the connection may be lost
    try:
        with runner_lock(session):
            report.revision = read_revision(session)
            yield
    finally:
        reported = {finding.slug for finding in report.findings}
        report.findings += [finding for finding in unseen if finding.slug not in reported]


def read_revision(session: Session) -> str | None:
    """Return the revision of the database, None at base. Raises Abort for a revision of another history."""
    return current_revision(session, [r.id for r in history(session.target.name)])


def was_swapped(session: Session) -> bool:
    """Return whether our revision did the view swap."""
    found = swap_of(session.target.name)
    if found is None:
        return False
    if catalog.may_read(session, STATE):
        state = catalog.state(session, found.revision)
        return bool(state and state["swapped"])
    # A verifier of one tenant may not read STATE. Our view is simple enough to be updatable; a view that others
    # have made over the backup is accepted only if it is not.
    view = session.schema[found.swap.view].literal
    return session.value(f"SELECT pg_relation_is_updatable(to_regclass({view}), false) & 28 <> 0") is True


def chain_state(session: Session) -> dict[str, object] | None:
    """Return the recorded state of the backfill: cursor, rows written, done, started_at."""
    return catalog.state(session, revision_of(session.target.name, Part.CHAIN))


def links_set_back(session: Session, revision: str | None) -> bool:
    """Return whether a downgrade that ended half way has set back links of the backfill, which is applied."""
    state = chain_state(session) if Part.CHAIN in parts(session.target.name, revision) else None
    return state is not None and not state["done"]


def lost_links(session: Session, revision: str | None, goal: str | None) -> Iterator[Finding]:
    """Yield the finding on what the journal lacks, if going from ``revision`` to ``goal`` sets links back."""
    from aoc_migrate.inspect.journal import links_not_restored  # an upgrade with nothing to do needs none of it

    target = session.target.name
    if Part.CHAIN in parts(target, revision) - parts(target, goal):
        yield from links_not_restored(session, revision_of(target, Part.CHAIN))


def backfilled_at(session: Session) -> str | None:
    """Return when the backfill started. Rows stored since then may have late links.

    A verifier of one tenant may not read that, so for it every row may be late.
    """
    if catalog.kind(session, STATE) is not None and not catalog.may_read(session, STATE):
        return "-infinity"
    started = (chain_state(session) or {}).get("started_at")
    return str(started) if started else None


def catalog_findings(session: Session, revision: str | None) -> list[Finding]:
    """Return what is wrong with the catalog for a database at ``revision``."""
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
    """Return the existing tables that this target's revisions alter, and our bookkeeping tables."""
    names = (*altered_tables(session.target.name), *BOOKKEEPING)
    return [name for name in names if catalog.kind(session, name) is not None]
