"""Work under a strong lock: one limit covers all of it, and only a timeout of ours makes it try again."""

import threading
import time
from collections.abc import Iterator

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.operations import instant
from aoc_migrate.operations.step import Kind, Lock, Step
from tests.conftest import Database
from tests.helpers import wait_until


def strong(session: Session, statements: tuple[str, ...]) -> None:
    """Run statements under a strong lock on the raw table."""
    step = Step(Kind.STOCK, session.raw, (), Lock.ACCESS_EXCLUSIVE, statements)
    times = instant.with_access_exclusive(session, (step,))
    session.note("strong", times.attempts, held=times.held)


class Sleepy(tuple[str, ...]):
    """Statements between which the client stops for a while."""

    def __iter__(self) -> Iterator[str]:
        for statement in super().__iter__():
            time.sleep(1)
            yield statement


def test_a_silent_client_loses_its_strong_lock(excititor: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent client loses the strong lock that it holds: others continue, and nothing is changed."""
    monkeypatch.setattr(instant, "ALIVE", "100ms")
    statements = Sleepy(["ALTER TABLE public.vex_raw ADD late text"])
    with (
        connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session,
        pytest.raises(Abort) as stopped,
        runner_lock(session),
    ):
        strong(session, statements)

    assert (stopped.value.finding.slug, stopped.value.finding.exit_code) == ("connection-lost", 3)
    assert excititor.value("SELECT count(*) FROM pg_attribute WHERE attname = 'late'") == 0


def test_one_bound_covers_all_work_under_a_strong_lock(excititor: Database) -> None:
    """Statements that fit into --max-stall singly but not together are given up: others wait for all of them."""
    statements = ("SELECT pg_sleep(0.5)",) * 3
    limits = Limits(max_stall=1.2)
    with connect(Target("excititor", excititor.url), "test", limits, Flags()) as session:
        with pytest.raises(Abort) as stopped, runner_lock(session):
            strong(session, statements)
        with runner_lock(session):
            strong(session, statements[:1])

    assert (stopped.value.finding.slug, stopped.value.finding.exit_code) == ("deadline", 3)
    assert "could not be changed within" in stopped.value.finding.problem
    assert [step.held_ms is not None for step in session.steps] == [True]


def test_a_cancel_by_a_person_ends_the_step(excititor: Database) -> None:
    """pg_cancel_backend is not the timeout: the step is not tried again, and its finding says so."""
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'"

    def cancel() -> None:
        wait_until(lambda: excititor.value(sleeping) is not None)
        excititor.run("SELECT pg_cancel_backend(%s)", [excititor.value(sleeping)])

    person = threading.Thread(target=cancel)
    with (
        connect(Target("excititor", excititor.url), "test", Limits(max_stall=30), Flags()) as session,
        pytest.raises(Abort) as stopped,
        runner_lock(session),
    ):
        person.start()
        strong(session, ("SELECT pg_sleep(20)",))
    person.join()

    assert stopped.value.finding.slug == "cancelled"
    assert "canceling statement due to user request" in stopped.value.finding.problem


@pytest.mark.parametrize(("deadlock_timeout", "expected"), [("1s", 5.0), ("7s", 14.0), ("10min", 600.0)])
def test_the_weak_lock_outlasts_deadlock_timeout(
    deadlock_timeout: str, expected: float, excititor: Database
) -> None:
    """An autovacuum yields once deadlock_timeout is over: we wait longer, whatever it is, up to the deadline."""
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        session.set("deadlock_timeout", deadlock_timeout)

        assert instant.weak_lock_wait(session) == expected
