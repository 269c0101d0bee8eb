"""Index builds with CONCURRENTLY: logged while they run, bounded while they wait; leftovers are dropped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.lock_wait import bounded_lock_wait, gave_up
from aoc_migrate.database.session import Session
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.operations.leftovers import drop_invalid, wait_for_build
from aoc_migrate.operations.step import Step, title

__all__ = ["build", "wait_for_build"]

DROP_AFTER_FAILURE = 5.0  # seconds
SECONDS_BETWEEN_LINES = 5.0

_PROGRESS = (
    "SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total "
    "FROM pg_stat_progress_create_index WHERE pid = %s"
)


def build(session: Session, step: Step) -> None:
    """Build an index CONCURRENTLY; drop what a failed build leaves.

    Another relation of that name, which may be why it failed, is not dropped. Waiting for other transactions is
    bounded by ``limits.deadline``; building is not. Raises Abort ``deadline`` (exit 3), ``cancelled`` or
    ``step-failed``.
    """
    try:
        # Without lock_timeout: a build that gives up leaves an INVALID index.
        with _watched(session, step.index.name), bounded_lock_wait(session, step.relation.name, title([step]), 0):
            session.run(*step.sql)
    except Abort:
        with suppress(Abort):  # the cause may stop this as well; the next run drops it
            drop_invalid(session, step.relation, step.index, DROP_AFTER_FAILURE)
        raise


@contextmanager
def _watched(session: Session, name: str) -> Iterator[None]:
    """Log the progress of the build; cancel it when it waits for other sessions beyond the deadline."""
    build = _Build(session, name)
    try:
        with watched(session, build.observe, every=0.5):
            yield
    except Abort as stopped:
        if build.cancelled:
            finding = gave_up(session, name, session.limits.deadline, 1, build.blockers)
            raise Abort(finding) from stopped
        raise


class _Build:
    """A watched index build: its progress, and for how long it has been waiting."""

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name, self.blockers = session, name, Blockers(session)
        self.waiting_since: float | None = None
        self.line, self.cancelled = EverySeconds(SECONDS_BETWEEN_LINES, at_once=False), False

    def observe(self, other: Session, pid: int) -> None:
        """Log the state of the build; cancel it when it waits for too long."""
        now = time.monotonic()
        waits = self.blockers.observe(other, pid).ahead
        self.waiting_since = (self.waiting_since or now) if waits else None
        if self.line.due():
            state = f"waiting. {self.blockers.words()}" if waits else self._progress(other, pid)
            self.session.say(f"{self.name}: {state}")
        if (
            not self.cancelled
            and self.waiting_since is not None
            and now - self.waiting_since > self.session.limits.deadline
        ):
            self.cancelled = True
            other.value("SELECT pg_cancel_backend(%s)", (pid,))

    def _progress(self, other: Session, pid: int) -> str:
        rows = other.rows(_PROGRESS, (pid,))
        if not rows:
            return "beginning"
        if rows[0]["blocks_total"]:
            return f"{rows[0]['phase']}, {rows[0]['blocks_done']:,} of {rows[0]['blocks_total']:,} blocks"
        return f"{rows[0]['phase']}, {rows[0]['tuples_done']:,} of {rows[0]['tuples_total']:,} rows"
