"""How a statement runs: under a strong lock with a bounded stall, under a weak one, or printed as SQL.

The lock order of a strong step (design.md 6): SHARE UPDATE EXCLUSIVE first, with five seconds, because an
autovacuum yields only to a waiter that outlasts ``deadlock_timeout``, and nobody who reads or writes waits
for that lock; then the strong lock, with ``--max-stall`` as both ``lock_timeout`` and ``statement_timeout``.
Online that is for waiting and working together.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from aoc_migrate.database import catalog
from aoc_migrate.database.books import STATE
from aoc_migrate.database.ddl.printing import (
    STRONG,
    WEAK,
    emit,
    migration,
    online,
    planned,
    retried,
    script,
    title,
)
from aoc_migrate.database.lock import announce
from aoc_migrate.database.ours import lock
from aoc_migrate.database.patience import failed, gave_up, patient
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session, first_line
from aoc_migrate.database.settings import Limits
from aoc_migrate.database.watch import Stall, watched
from aoc_migrate.report.model import Stopped

PATIENCE = 5.0  # seconds for the weak lock; more than deadlock_timeout, so that an autovacuum yields
SLOW = 5  # tries in a row that had the lock and ran out of time: more would only make others wait
ALIVE = "5s"  # a client that has stopped, or whose network has, keeps the strong lock for no longer

_TRY_AGAIN = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
)


@dataclass(frozen=True)
class _Step:
    """One transaction under a strong lock: what precedes the lock, and what runs while it is held."""

    table: Relation
    statements: Sequence[str]
    before: Sequence[str]
    optional: bool
    label: str
    alone: str = ""

    def locks(self, limits: Limits) -> list[str]:
        """Return the statements that take the locks in their order."""
        patience = f"'{round(min(PATIENCE, limits.deadline) * 1000)}ms'"
        stall = f"'{round(limits.max_stall * 1000)}ms'"
        # Alone it waits and works in one statement, which is not to time out while it still waits.
        wait = f"'{round(limits.max_stall * 800)}ms'" if self.alone else stall
        return [
            f"SET LOCAL lock_timeout = {patience}",
            _lock(self.table, "SHARE UPDATE EXCLUSIVE", self.optional, "ONLY " if self.alone else ""),
            f"SET LOCAL lock_timeout = {wait}",
            f"SET LOCAL statement_timeout = {stall}",
            "SET LOCAL synchronous_commit = off",
            self.alone or _lock(self.table, "ACCESS EXCLUSIVE", self.optional),
        ]


def strong(
    table: Relation,
    statements: Sequence[str],
    before: Sequence[str] = (),
    *,
    optional: bool = False,
    label: str = "",
    alone: str = "",
) -> None:
    """Run ``statements`` in one transaction under ACCESS EXCLUSIVE on ``table``; ``before`` precede the lock.

    Partitions are locked with their table. ``optional``: ``table`` may not exist; then there is nothing to lock.
    ``label``: the step's name in reports, where its first ALTER does not tell enough. ``alone``: a statement
    that takes its own strong lock instead, on ``table`` without its partitions or on an index of it.

    Tried again until it works. Raises Stopped ``deadline`` (exit 3) after ``limits.deadline`` seconds, or when it
    takes longer than ``limits.max_stall`` by itself; nothing is changed then. ``step-failed`` for any other error.
    """
    step = _Step(table, statements, before, optional, label or title(statements), alone)
    session, into = online(), script()
    if session is None:
        if into is None:
            emit(*before, *step.locks(Limits()), *statements)
        else:
            emit(retried(table, [*before, *step.locks(into.limits), *statements], into.limits))
            planned(step.label, STRONG)
        return
    with migration().autocommit_block():
        _retry(session, step)


def _lock(table: Relation, mode: str, optional: bool, only: str = "") -> str:
    lock = f"LOCK TABLE {only}{table} IN {mode} MODE"
    if not optional:
        return lock
    return f"""DO $aoc$
BEGIN
  IF to_regclass({table.literal}) IS NOT NULL THEN
    {lock};
  END IF;
END $aoc$"""


def _retry(session: Session, step: _Step) -> None:
    begun, delay, attempts, slow, longest = time.monotonic(), 1.0, 0, 0, 0.0
    while True:
        announce(session, step.label)
        attempts += 1
        stall, times = Stall(session), _Times()
        try:
            with watched(session, stall.look, every=session.limits.max_stall / 4):
                _try(session, step, times)
        except _TRY_AGAIN as error:
            longest = max(longest, times.waited)
            timed_out = isinstance(error, psycopg.errors.QueryCanceled)  # not the wait for the lock
            had_lock = timed_out and (times.got is not None or bool(step.alone))
            stall.look_back(session, step.table, had_lock=had_lock)
            spent, reason = time.monotonic() - begun, first_line(error, session.target)
            slow = slow + 1 if stall.slow else 0
            if spent + delay > session.limits.deadline or slow == SLOW:
                raise Stopped(gave_up(session, step.table.name, spent, attempts, stall)) from None
            session.say(f"{step.table.name}: try {attempts} gave up ({reason}). {stall.words()}")
            time.sleep(random.uniform(delay / 2, delay))  # noqa: S311
            delay = min(delay * 2, 5.0)
        except psycopg.Error as error:
            raise Stopped(failed(session, step.label, error)) from None
        else:
            note(session, step.label, attempts, waited_ms=max(longest, times.waited), held_ms=times.held)
            return


@dataclass
class _Times:
    """When one try asked for the strong lock, got it and let go; seconds of a monotonic clock."""

    asked: float | None = None
    got: float | None = None
    gone: float | None = None

    @property
    def waited(self) -> float:
        return 0.0 if self.asked is None else (self.got or time.monotonic()) - self.asked

    @property
    def held(self) -> float:
        return 0.0 if self.got is None else (self.gone or time.monotonic()) - self.got


def note(session: Session, label: str, attempts: int = 1, **seconds: float) -> None:
    """Keep a step for the report, with its times in milliseconds."""
    session.steps.append(
        {"statement": label, "attempts": attempts, **{k: round(v * 1000, 1) for k, v in seconds.items()}}
    )
    if session.on_step:
        session.on_step(None)


def _try(session: Session, step: _Step, times: _Times) -> None:
    *weak_first, strong_lock = [*step.before, *step.locks(session.limits)]
    keeps = catalog.kind(session, STATE) is not None  # what was found is recorded with the change
    with session.transaction():
        if keeps:
            lock(session, STATE, writes=True)
        session.run(f"SET LOCAL idle_in_transaction_session_timeout = '{ALIVE}'")
        for statement in weak_first:
            session.run(statement)
        times.asked = time.monotonic()
        session.run(strong_lock)
        times.got = time.monotonic()
        for statement in step.statements:  # whoever waits behind us does so since we asked for the lock
            left = session.limits.max_stall - (time.monotonic() - times.asked)
            session.run(f"SET LOCAL statement_timeout = '{max(1, round(left * 1000))}ms'")
            session.run(statement)
    times.gone = time.monotonic()


def weak(table: Relation, statement: str, *, patience: float | None = None) -> None:
    """Run a statement whose lock blocks no reader or writer, by itself, outside a transaction.

    ``patience``: seconds to wait for locks; None is ``limits.deadline``, 0 is without end (an index build
    that gives up leaves an INVALID index). Raises Stopped ``deadline`` (exit 3) or ``step-failed``.
    """
    session = online()
    with migration().autocommit_block():
        if session is None:
            emit(statement)
            planned(title([statement]), WEAK)
            return
        label = title([statement])
        announce(session, label)
        session.say(f"{label} …")
        begun = time.monotonic()
        with patient(session, table.name, label, patience):
            session.run(statement)
        note(session, label, total_ms=time.monotonic() - begun)
