"""Index builds with CONCURRENTLY: logged while they run, bounded while they wait; leftovers are dropped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.lock_wait import bounded_lock_wait, gave_up
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import index_builds
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.operations.leftovers import drop_invalid, wait_for_build
from aoc_migrate.operations.step import Step, title

__all__ = ["build", "wait_for_build"]

DROP_AFTER_FAILURE = 5.0  # seconds


def build(session: Session, step: Step) -> None:
    """Build an index CONCURRENTLY; drop what a failed build leaves.

    Another relation of that name, which may be why it failed, is not dropped. Waiting for other transactions is
    bounded by ``limits.deadline``; building is not. Raises Abort ``deadline`` (exit 3), ``cancelled`` or
    ``step-failed``.
    """
    try:
        # Without lock_timeout: a build that gives up leaves an INVALID index.
        with _watched(session, step), bounded_lock_wait(session, step.relation.name, title([step]), 0):
            session.run(*step.sql)
    except Abort:
        with suppress(Abort):  # the cause may stop this as well; the next run drops it
            drop_invalid(session, step.relation, step.index, DROP_AFTER_FAILURE)
        raise


@contextmanager
def _watched(session: Session, step: Step) -> Iterator[None]:
    """Show the progress of the build; cancel it when it waits for other sessions beyond the deadline."""
    build = _Build(session, Progress(session, title([step]), estimated_ms=session.expected_ms([step])))
    try:
        with shown(build.progress), watched(session, build.observe, every=0.5):
            yield
    except Abort as stopped:
        if build.cancelled:
            finding = gave_up(session, step.index.name, session.limits.deadline, 1, build.blockers)
            raise Abort(finding) from stopped
        raise


class _Build:
    """A watched index build: its progress, and for how long it has been waiting."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self.session, self.progress, self.blockers = session, progress, Blockers(session)
        self.waiting_since: float | None = None
        self.cancelled = False

    def observe(self, other: Session, pid: int) -> None:
        """Keep and record how far the build is; cancel it when it waits for too long."""
        now = time.monotonic()
        waits = self.blockers.observe(other, pid).ahead
        self.waiting_since = (self.waiting_since or now) if waits else None
        if (
            not self.cancelled
            and self.waiting_since is not None
            and now - self.waiting_since > self.session.limits.deadline
        ):
            self.cancelled = True
            other.value("SELECT pg_cancel_backend(%s)", (pid,))
        for place in index_builds(other, [pid]).values():
            if (place.doing, place.unit) != (self.progress.doing, self.progress.unit):
                self.progress.count(place.unit, place.total, place.done, place.doing)
            self.progress.reach(place.done)
        self.progress.waits(self.blockers.waiting() if waits else None)
        self.progress.record(other)
