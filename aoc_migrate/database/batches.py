"""The loop that runs batches one after the other, each in a transaction of its own that ends within a second.

A batch that does not fit into its second is made smaller and tried again; one that meets locked rows releases its
own and tries again, until ``limits.deadline``. Only a single row may be given longer.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg

from aoc_migrate.database import log
from aoc_migrate.database.batch_guard import BatchGuard
from aoc_migrate.database.batch_size import BOUND, FIRST, BatchSize
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.every_seconds import EverySeconds
from aoc_migrate.database.lock_wait import failed, gave_up, too_slow
from aoc_migrate.database.obeying import clock, obey, rest
from aoc_migrate.database.observing import cancelled_by_person
from aoc_migrate.database.progress import Progress, shown
from aoc_migrate.database.runner_lock import announce
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.throttle.throttle import Throttle
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import StepReport, finding

Values = Callable[[int], Mapping[str, Any]]

# Rows are found by key through the indexes, whatever the statistics of a freshly loaded table say. Plans are made
# once: over hundreds of partitions, planning takes longer than a batch.
_TIMEOUTS = {"statement_timeout": f"{round(BOUND * 1000)}ms", "lock_timeout": f"{round(BOUND * 500)}ms"}
_PLANS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
# No batch waits for its commit: a crash loses its links, their journal and its place together, and the commit that
# ends the step makes all of them last. On a cluster the nodes would not lose the same.
_COMMITS = {"synchronous_commit": "off"}
_COMPRESSION = {"default_toast_compression": "lz4"}  # of the journal, if the server was built with it


class Batches:
    """Runs the batches of one step on ``table`` at the pace that the limits allow, and counts what they do."""

    def __init__(
        self,
        session: Session,
        label: str,
        table: str,
        bound: float,
        written: tuple[str, ...],
        expected_ms: float | None = None,
        first: int = FIRST,
        one_row: float = BOUND,
    ) -> None:
        self.session, self.label, self.table, self.bound, self.one_row = session, label, table, bound, one_row
        self.progress = Progress(session, label, "rows", estimated_ms=expected_ms)
        self.size = BatchSize(session.limits, first)
        self.throttle = Throttle(session, label, table, bound, self.progress)
        self.blockers, self.guard = Blockers(session), BatchGuard(session, written)
        self._line = EverySeconds(log.SECONDS_BETWEEN_LINES)
        self.begun, self.count, self.longest = time.monotonic(), 0, 0.0
        self.step, self.rows = StepReport(label), 0

    def run(self, statement: str, values: Values) -> Row:
        """Run one batch and return its row, with ``size`` and ``seconds``; ``values(size)`` binds it.

        Raises Abort ``deadline`` (exit 3).
        """
        return self.run_with(lambda size: self.session.row(statement, values(size)))

    def run_with(self, batch: Callable[[int], Row]) -> Row:
        """The same for a batch of several statements: a function of the size that returns the row."""
        first: float | None = None
        while True:
            obey(self.session, self.label, self.progress)
            if self.count:
                self.throttle.wait()
            self.size.limits = self.session.limits
            begun, size = time.monotonic(), self.size.rows
            bound = self.one_row if size == 1 else self.bound
            first = clock(self.session) if first is None else first
            try:
                with self.session.alone():
                    if bound != self.bound:
                        self.session.quietly(f"SET LOCAL statement_timeout = '{round(bound * 1000)}ms'")
                    self.guard.lock()
                    row = batch(size)
                    self._count(row)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                self._locked(first)
            except psycopg.errors.QueryCanceled as error:
                if cancelled_by_person(error, self.session.elapsed, bound):
                    raise
                if (
                    self.session.on_cluster and self.blockers.ahead
                ):  # on a node, where only statement_timeout ends it
                    self._locked(first)
                else:
                    self._too_slow(first, bound)
            else:
                seconds = time.monotonic() - begun
                self._done(row, seconds)
                return row | {"size": size, "seconds": seconds}
            self.step.attempts += 1

    def _count(self, row: Row) -> None:
        """Raise Abort ``rows-lost``, which rolls back, unless each row that was chosen left and arrived."""
        if "arrived" in row and not row["chosen"] == row["written"] == row["arrived"]:
            counts = {name: row[name] for name in ("chosen", "written", "arrived")}
            raise Abort(finding("rows-lost", self.table, **counts))

    def _done(self, row: Row, seconds: float) -> None:
        self.count += 1
        self.longest = max(self.longest, seconds)
        self.rows += row["written"]
        self.blockers = Blockers(self.session)
        self.progress.waits(None)
        if self.throttle.step.waiting:
            self.size.halve()
        else:
            self.size.learn(row["seen"], seconds)
        self.size.rest(seconds, partial(rest, self.session, step=self.label, progress=self.progress))

    def _locked(self, first: float) -> None:
        """Rest for a moment; give up where no batch has succeeded until the deadline."""
        self.blockers.find_holders(self.session, self.session.schema[self.table], bound=self.bound)
        waited = clock(self.session) - first
        if waited >= self.session.limits.deadline:
            raise Abort(gave_up(self.session, self.table, waited, self.step.attempts, self.blockers))
        self.progress.waits(self.blockers.waiting())
        time.sleep(random.uniform(0.05, 0.3))  # noqa: S311

    def _too_slow(self, first: float, bound: float) -> None:
        """Try half the rows; a single row that is too slow is tried again until the deadline."""
        waited = clock(self.session) - first
        if self.size.rows == 1 and waited >= self.session.limits.deadline:
            raise Abort(too_slow(self.table, waited, self.step.attempts, bound))
        self.size.too_slow()
        if self._line.due():
            words = f"a batch did not fit into {bound:.0f} s, going on with {self.size.rows:,} rows"
            self.session.say(f"{self.label}: {words}", "smaller-batch", rows=self.size.rows)

    def observe(self, other: Session, pid: int) -> None:
        """Keep who blocks us and how many wait for us, as another session sees it; record the progress there."""
        self.throttle.step.waiting = self.blockers.observe(other, pid).behind
        self.progress.record(other)

    def summary(self) -> StepReport:
        """Return the step as it is reported: rows, batches, the longest of them, time in all, pauses."""
        step = self.step
        step.rows, step.batches, step.longest_ms = self.rows, self.count, round(self.longest * 1000, 1)
        step.total_ms = round((time.monotonic() - self.begun) * 1000, 1)
        if self.throttle.seconds:
            step.pauses = {kind: round(seconds * 1000, 1) for kind, seconds in self.throttle.seconds.items()}
            step.paused_ms = round(sum(step.pauses.values()), 1)
        return step


@contextmanager
def batches(
    session: Session,
    label: str,
    table: str,
    written: tuple[str, ...],
    bound: float = BOUND,
    expected_ms: float | None = None,
    first: int = FIRST,
    one_row: float = BOUND,
) -> Iterator[Batches]:
    """Yield what runs the batches of a step; note the step at the end, if it did anything.

    ``written``: the tables of ours that a batch writes to. ``bound``: the seconds of ``statement_timeout``; a
    cancel after that is no person's. ``expected_ms`` was estimated beforehand. ``first``: rows of the first batch.
    ``one_row``: the seconds of a batch of one row, which cannot be made smaller.

    Raises Abort ``connection-lost`` (exit 3), ``foreign-object``, ``cancelled`` or ``step-failed``.
    """
    running = Batches(session, label, table, bound, written, expected_ms, first, one_row)
    announce(session, label)
    session.say(f"{label} …", "step", step=label)
    try:
        with shown(running.progress), watched(session, running.observe, every=1.0):
            yield running
    except psycopg.Error as error:
        raise Abort(failed(session, label, error, table, running.blockers)) from None
    finally:
        running.throttle.close()
        step = running.summary()
        if step.rows or step.kept:
            session.keep(step)


@contextmanager
def index_plans_only(session: Session, *, on_cluster: bool = False) -> Iterator[None]:
    """Make the statements in the block fail after a second, and find their rows only through indexes.

    ``on_cluster``: the workers choose plans, and Citus plans no statement for values that it does not know yet.
    """
    wanted = (_TIMEOUTS if on_cluster else _TIMEOUTS | _PLANS | _COMMITS) | _COMPRESSION
    before = {
        row["name"]: row["value"]
        for row in session.rows(
            "SELECT name, current_setting(name) AS value FROM pg_settings "
            "JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name) "
            "WHERE enumvals IS NULL OR value = ANY (enumvals)",
            (list(wanted), list(wanted.values())),
        )
    }
    _set(session, {name: wanted[name] for name in before})
    session.plans = None  # psycopg drops all plans when it drops its own
    session.connection.prepare_threshold = None if on_cluster else 0
    try:
        yield
    finally:
        session.connection.prepare_threshold = None
        with suppress(psycopg.Error):  # it must not replace an error of the block
            _set(session, before)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    session.rows(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)",
        (list(settings), list(settings.values())),
    )
