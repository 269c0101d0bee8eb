"""The primary fails during a run, and its standby takes over: the same command goes on there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
import pytest

from tests.conftest import Aoc
from tests.faults.long_steps import MANY, STEPS, Step, blocked
from tests.faults.pair import Pair, pair
from tests.faults.scenarios import fill
from tests.helpers import wait_until
from tests.servers import running_server

LAST = "SELECT FROM vex_raw WHERE id = 'r4499' FOR UPDATE"  # after the first two batches
IN_THE_MIDDLE = {
    "backfill": (4500, LAST, next(step for step in STEPS if step.name == "a batch of the backfill")),
    "validation": (MANY, "SELECT", next(step for step in STEPS if step.name == "a validation")),
}


@contextmanager
def prepared(rows: int) -> Iterator[Pair]:
    """Yield a pair with a raw table before the contract."""
    with running_server() as primary:
        with psycopg.connect(primary.url("postgres")) as connection:
            fill(connection, "vex_raw", rows)
        with pair(primary) as both:
            yield both


class Writer(threading.Thread):
    """Keeps storing documents on whoever is the primary, and remembers what was acknowledged."""

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self.conninfo, self.acknowledged, self.stopped = conninfo, list[str](), threading.Event()
        self.lost = 0

    def run(self) -> None:
        """Store until stopped; after a lost connection, go on with a new one."""
        numbers = count()
        while not self.stopped.wait(0.01):
            try:
                with psycopg.connect(self.conninfo, autocommit=True) as connection:
                    while not self.stopped.wait(0.002):
                        self._store(connection, f"new-{next(numbers)}")
            except psycopg.Error:
                self.lost += 1

    def _store(self, connection: "psycopg.Connection[tuple[object, ...]]", id_: str) -> None:
        connection.execute(
            "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
            "upstream, linkset) VALUES (%s, 'default', 'osv', %s, %s, now(), '{}', '{}', '{}')",
            [id_, id_, id_],
        )
        self.acknowledged.append(id_)


@pytest.mark.alike
@pytest.mark.parametrize("name", IN_THE_MIDDLE)
def test_the_same_command_succeeds_after_a_failover(name: str, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After a failover in the backfill or the validation, the same command succeeds and no row is lost."""
    rows, blocker, step = IN_THE_MIDDLE[name]
    with prepared(rows) as both:
        aoc.environment = {"EXCITITOR_DATABASE_URL": both.conninfo, **retrofit}
        for command in step.scenario.before:
            assert aoc(*command.split()).exit_code == 0
        writer = Writer(both.conninfo)
        writer.start()
        try:
            _fail_over_in(step, blocker, both, aoc)
            before = len(writer.acknowledged)
            ran = aoc.json("upgrade")
            wait_until(lambda: len(writer.acknowledged) > before)
        finally:
            writer.stopped.set()
            writer.join()

        assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0007"), ran.out + ran.err
        assert writer.lost > 0
        assert before > 0
        with psycopg.connect(both.standby.url("postgres")) as connection:
            stored = {id_ for (id_,) in connection.execute("SELECT id FROM vex_raw WHERE id LIKE 'new-%'")}
            assert set(writer.acknowledged) - stored == set()
            assert connection.execute("SELECT count(*) FROM vex_raw WHERE id LIKE 'r%'").fetchone() == (rows,)
        verified = aoc.json("verify", "--probe")
        assert (verified.exit_code, verified.slugs("error")) == (0, [])


def _fail_over_in(step: Step, blocker: str, both: Pair, aoc: Aoc) -> None:
    """Begin an upgrade, and fail over when it is in ``step``."""
    with psycopg.connect(both.primary.url("postgres"), autocommit=True) as look:
        with blocked(both.primary.url("postgres"), blocker):
            process = aoc.start("upgrade")
            wait_until(lambda: step.reached(look))
            both.fail_over()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err


def test_an_upgrade_on_the_standby_changes_nothing(aoc: Aoc) -> None:
    """On the standby itself `upgrade` ends with 3, and nothing changes at the primary either."""
    with prepared(10) as both:
        aoc.environment = {"EXCITITOR_DATABASE_URL": both.standby.url("postgres")}

        ran = aoc.json("upgrade")

        assert (ran.exit_code, ran.slugs()) == (3, ["standby"])
        with psycopg.connect(both.primary.url("postgres")) as connection:
            assert connection.execute("SELECT to_regclass('aoc_migration_state')").fetchone() == (None,)
