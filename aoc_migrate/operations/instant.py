"""Steps under a strong lock: tried for an instant, released, and tried again until they succeed.

The order of the locks (design.md 6): SHARE UPDATE EXCLUSIVE first, with a wait longer than ``deadlock_timeout``,
because only then an autovacuum yields, and no reader or writer waits for that lock; then the strong lock, with
``--max-stall`` for waiting and working together.
"""

import math
import random
import time
from dataclasses import dataclass, field
from functools import partial

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.blockers import Blockers
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.lock_wait import failed, gave_up
from aoc_migrate.database.obeying import clock, rest
from aoc_migrate.database.observing import cancelled_by_person
from aoc_migrate.database.own_tables import lock
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.runner_lock import announce
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.cluster_instant import ClusterInstant, cluster_instant
from aoc_migrate.database.watcher import watched
from aoc_migrate.errors import Abort
from aoc_migrate.operations.step import Kind, Lock, Step, title

LEAST_WEAK_WAIT = 5.0  # seconds for the weak lock, or twice deadlock_timeout where that is more
SLOW = 5  # consecutive tries that had the lock and ran out of time: more would only make others wait
ALIVE = "5s"  # the longest that a dead client keeps the strong lock

_TRY_AGAIN = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
)


@dataclass
class Times:
    """The tries of one instant. Of the current one: when it asked for the strong lock, got it and released it.

    Seconds of a monotonic clock. ``bound``: the ``statement_timeout`` of the statement that runs now.
    """

    attempts: int = 0
    longest: float = 0.0
    asked: float | None = None
    got: float | None = None
    gone: float | None = None
    bound: float = math.inf

    def again(self) -> None:
        """Begin the next try."""
        self.attempts += 1
        self.asked = self.got = self.gone = None
        self.bound = math.inf

    def ended(self) -> None:
        """End a try, and keep the longest wait."""
        waited = 0.0 if self.asked is None else (self.got or time.monotonic()) - self.asked
        self.longest = max(self.longest, waited)

    @property
    def held(self) -> float:
        """The seconds for which the last try held the strong lock."""
        return 0.0 if self.got is None else (self.gone or time.monotonic()) - self.got


@dataclass(frozen=True)
class Instant:
    """Steps of one relation in one transaction; leading Steps that lock nothing precede the strong lock.

    What they record is read under the weak one, which keeps all other DDL away.
    """

    steps: tuple[Step, ...]
    first: Step = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", next(s for s in self.steps if s.lock is Lock.ACCESS_EXCLUSIVE))

    @property
    def before(self) -> list[str]:
        """The statements before the locks."""
        return [sql for step in self._leading if step.kind is not Kind.RECORD for sql in step.sql]

    @property
    def records(self) -> list[str]:
        """The statements between the weak lock and the strong one."""
        return [sql for step in self._leading if step.kind is Kind.RECORD for sql in step.sql]

    @property
    def _leading(self) -> tuple[Step, ...]:
        return self.steps[: self.steps.index(self.first)]

    @property
    def inside(self) -> list[str]:
        """The statements under the lock; a Step that comes ``alone`` took it with its own."""
        return [sql for step in self.steps[self.steps.index(self.first) :] for sql in step.sql if not step.alone]

    def weak_locks(self, seconds: float, cluster: ClusterInstant | None = None) -> list[str]:
        """Return the statements that take the weak lock, which may take ``seconds`` each."""
        table, optional, alone = self.first.relation, self.first.optional, self.first.alone
        limit = f"{_milliseconds(seconds)}ms"
        return [
            f"SET LOCAL lock_timeout = '{limit}'",
            _lock(table, "SHARE UPDATE EXCLUSIVE", optional=optional, only="ONLY " if alone else ""),
            *([f"SET LOCAL statement_timeout = '{limit}'", *cluster.weak_locks] if cluster else []),
        ]

    def strong_locks(self, max_stall: float) -> list[str]:
        """Return the statements that take the strong lock within ``max_stall`` seconds."""
        table, optional, alone = self.first.relation, self.first.optional, self.first.alone
        # Alone, one statement waits and works; it must not time out while it still waits.
        wait = max_stall * 0.8 if alone else max_stall
        return [
            f"SET LOCAL lock_timeout = '{round(wait * 1000)}ms'",
            f"SET LOCAL statement_timeout = '{_milliseconds(max_stall)}ms'",
            "SET LOCAL synchronous_commit = off",
            self.first.sql[0] if alone else _lock(table, "ACCESS EXCLUSIVE", optional=optional),
        ]


def _milliseconds(seconds: float) -> int:
    """Return a ``statement_timeout``, of which PostgreSQL takes whole milliseconds; 0 would be none."""
    return max(1, round(seconds * 1000))


def _lock(table: Relation, mode: str, *, optional: bool, only: str = "") -> str:
    statement = f"LOCK TABLE {only}{table} IN {mode} MODE"
    if not optional:
        return statement
    return f"""DO $aoc$
BEGIN
  IF to_regclass({table.literal}) IS NOT NULL THEN
    {statement};
  END IF;
END $aoc$"""


def with_access_exclusive(session: Session, steps: tuple[Step, ...]) -> Times:
    """Run Steps in one transaction under ACCESS EXCLUSIVE on their table; return the times of its tries.

    Partitions are locked with their table. It tries until it succeeds. Raises Abort ``deadline`` (exit 3) after
    ``limits.deadline`` seconds, or when the Steps alone take longer than ``limits.max_stall``, ``cancelled``, or
    ``step-failed``; then nothing has changed.
    """
    instant, label = Instant(steps), title(step for step in steps if step.lock is Lock.ACCESS_EXCLUSIVE)
    table, begun, delay, slow, times = instant.first.relation, clock(session), 1.0, 0, Times()
    cluster = cluster_instant(session, table)
    progress = Progress(session, label)
    while True:
        announce(session, label, strong=not times.attempts)
        times.again()
        blockers = Blockers(session)
        try:
            with watched(session, partial(_observe, blockers, progress), every=session.limits.max_stall / 4):
                _try(session, instant, times, cluster)
        except _TRY_AGAIN as error:
            times.ended()
            if cancelled_by_person(error, session.elapsed, times.bound):
                raise Abort(failed(session, label, error)) from None
            timed_out = isinstance(error, psycopg.errors.QueryCanceled)  # not the wait for the lock
            had_lock = timed_out and (times.got is not None or instant.first.alone)
            blockers.find_holders(session, table, had_lock=had_lock)
            spent, reason = clock(session) - begun, first_line(error, session.target)
            slow = slow + 1 if blockers.slow else 0
            left = session.limits.deadline - spent
            if left <= 0 or (slow == SLOW and not cluster):  # who blocks a worker may not have been seen yet
                raise Abort(gave_up(session, table.name, spent, times.attempts, blockers)) from None
            message = f"{table.name}: try {times.attempts} gave up ({reason}). {blockers.words()}"
            session.say(message, "retry", attempts=times.attempts, waited_seconds=round(spent, 1))
            rest(session, min(random.uniform(delay / 2, delay), left), label)  # noqa: S311  (the last at the deadline)
            delay = min(delay * 2, 5.0)
        except psycopg.Error as error:
            raise Abort(failed(session, label, error)) from None
        else:
            times.ended()
            return times


def _observe(blockers: Blockers, progress: Progress, other: Session, pid: int) -> None:
    """Keep who blocks a try, and record that for `status`."""
    if blockers.observe(other, pid).ahead:
        progress.waits(blockers.waiting())
        progress.record(other)


def weak_lock_wait(session: Session) -> float:
    """Return the seconds to wait for the weak lock: an autovacuum yields after ``deadlock_timeout``."""
    milliseconds: float = session.value("SELECT setting::float8 FROM pg_settings WHERE name = 'deadlock_timeout'")
    return min(max(LEAST_WEAK_WAIT, 2 * milliseconds / 1000), session.limits.deadline)


def _try(session: Session, instant: Instant, times: Times, cluster: ClusterInstant | None) -> None:
    stall, wait = session.limits.max_stall, weak_lock_wait(session)
    *bounds, strong_lock = instant.strong_locks(stall)
    weak_first = [
        *(cluster.first if cluster else ()),
        *instant.before,
        *instant.weak_locks(wait, cluster),
        *instant.records,
        *bounds,
    ]
    keeps = catalog.kind(session, STATE) is not None  # a finding is recorded with its change
    with session.transaction():
        if keeps:
            lock(session, STATE, writes=True)
        session.run(f"SET LOCAL idle_in_transaction_session_timeout = '{ALIVE}'")
        times.bound = wait if cluster else math.inf
        for statement in weak_first:
            session.run(statement)
        times.asked, times.bound = time.monotonic(), _milliseconds(stall) / 1000
        session.run(strong_lock)
        times.got = time.monotonic()
        for statement in instant.inside:  # sessions behind us have waited since we asked for the lock
            left = _milliseconds(stall - (time.monotonic() - times.asked))
            times.bound = left / 1000
            session.run(f"SET LOCAL statement_timeout = '{left}ms'")
            session.run(statement)
    times.gone = time.monotonic()
