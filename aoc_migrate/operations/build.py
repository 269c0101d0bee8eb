"""Index builds with CONCURRENTLY: logged while they run, bounded while they wait; leftovers are dropped."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.lock_wait import bounded_lock_wait, gave_up
from aoc_migrate.database.patience import Patience
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.builds import index_builds
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.operations.leftovers import drop_invalid, wait_for_build
from aoc_migrate.operations.refused_rows import run_on_rows
from aoc_migrate.operations.step import Step, title

__all__ = ["build", "wait_for_build"]

DROP_AFTER_FAILURE = 5.0  # seconds


def build(session: Session, step: Step) -> None:
    """Build an index CONCURRENTLY; drop what a failed build leaves.

    Another relation of that name, which may be why it failed, is not dropped. Waiting for other transactions is
    bounded by ``limits.deadline``; building is not. Raises Abort ``deadline`` (exit 3), ``cancelled``,
    ``row-refused`` or ``step-failed``.
    """
    try:
        # Without lock_timeout: a build that gives up leaves an INVALID index.
        with _watched(session, step), bounded_lock_wait(session, step.relation.name, title([step]), 0):
            run_on_rows(session, step)
    except Abort:
        with suppress(Abort):  # the cause may stop this as well; the next run drops it
            drop_invalid(session, step.relation, step.index, DROP_AFTER_FAILURE)
        raise


@contextmanager
def _watched(session: Session, step: Step) -> Iterator[None]:
    """Show the progress of the build; cancel it when it waits for other sessions beyond the deadline."""
    build = _Build(session, Progress(session, title([step]), estimated_ms=session.estimate([step])))
    try:
        with shown(build.progress), watched(session, build.observe, every=0.5):
            yield
    except Abort as stopped:
        if build.patience.cancelled:
            finding = gave_up(session, step.index.name, session.limits.deadline, 1, build.blockers)
            raise Abort(finding) from stopped
        raise


class _Build:
    """A watched index build: its progress, and who blocks it."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self.session, self.progress, self.blockers = session, progress, Blockers(session)
        self.patience = Patience(session.limits.deadline)

    def observe(self, other: Session, pid: int) -> None:
        """Keep and record how far the build is; cancel it when it waits for too long."""
        waits = bool(self.blockers.observe(other, pid).ahead)
        self.patience.observe(other, pid, waits=waits)
        for place in index_builds(other, [pid]).values():
            self.progress.follow(place.unit, place.total, place.done, place.doing)
        self.progress.waits(self.blockers.waiting() if waits else None)
        self.progress.record(other)
