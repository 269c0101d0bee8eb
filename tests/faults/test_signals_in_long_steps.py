"""SIGTERM and SIGINT during each long step: the step ends, also on the server, and the same command goes on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.lock import lock_key
from tests.faults.lab import Lab, Scenario
from tests.faults.outcome import differences, outcome
from tests.helpers import wait_until

SOON = 10  # seconds; five are promised, and this machine may be busy
MANY = 100_000
LOCK_WAIT = "wait_event_type = 'Lock' AND query LIKE "
OURS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name LIKE 'aoc-migrate %'"
)


@dataclass(frozen=True)
class Step:
    """A long step: how it is made long, how it is recognised, and whether the ledger has a row by then."""

    name: str
    scenario: Scenario
    seen: str
    blocker: str = "SELECT"
    options: tuple[str, ...] = ()
    recorded: bool = True

    def __str__(self) -> str:
        return self.name


def up(*before: str, rows: int = 4500) -> Scenario:
    """Upgrade to the head from the revision in ``before``."""
    return Scenario("excititor", tuple(f"upgrade excititor_{number}" for number in before), "upgrade head", rows)


def down(before: str) -> Scenario:
    """One step down from the revision ``before``."""
    return Scenario("excititor", (f"upgrade excititor_{before}",), "downgrade -1")


BUILDING = "pid IN (SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE '{}')"
ROW_LOCK = "SELECT FROM vex_raw WHERE id = 'r2' FOR UPDATE"
STEPS = [
    Step(
        "waiting for the lock between runners",
        up(),
        "query LIKE '%advisory%'",
        f"SELECT pg_advisory_lock({lock_key('excititor', 'public')})",
        recorded=False,
    ),
    Step(
        "waiting for the weak lock",
        up("0001"),
        LOCK_WAIT + "'%SHARE UPDATE EXCLUSIVE%'",
        "LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE",
    ),
    Step(
        "waiting for a strong lock",
        up("0001"),
        LOCK_WAIT + "'% IN ACCESS EXCLUSIVE%'",
        "LOCK TABLE vex_raw IN ACCESS SHARE MODE",
        ("--max-stall", "1m"),
    ),
    Step(
        "between two tries",
        up("0001"),
        "state = 'idle' AND query = 'ROLLBACK' AND EXISTS "
        "(SELECT FROM aoc_migration_log WHERE step LIKE 'ALTER%')",
        "LOCK TABLE vex_raw IN ACCESS SHARE MODE",
        ("--max-stall", "10ms"),
    ),
    Step(
        "an index build that waits",
        up("0003"),
        BUILDING.format("waiting%"),
        "UPDATE vex_raw SET linkset = linkset WHERE id = 'r2'",
    ),
    Step("an index build", up("0003", rows=MANY), BUILDING.format("building index%")),
    Step("a validation", up("0002", rows=MANY), "state = 'active' AND query LIKE 'ALTER TABLE%VALIDATE%'"),
    Step("a batch of the backfill", up("0005"), LOCK_WAIT + "'WITH place%'", ROW_LOCK),
    Step(
        "the audit of an upgrade",
        up(rows=MANY),
        "state = 'active' AND query LIKE '%FROM vex_raw%'",
        recorded=False,
    ),
    Step("setting links back", down("0006"), LOCK_WAIT + "'WITH latest%'", ROW_LOCK),
    Step(
        "dropping an index",
        down("0005"),
        LOCK_WAIT + "'DROP INDEX CONCURRENTLY%'",
        "LOCK TABLE vex_raw IN ACCESS SHARE MODE",
    ),
]


@contextmanager
def blocked(conninfo: str, statement: str) -> Iterator[None]:
    """Keep a transaction open in which ``statement`` has run."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement.encode())
        yield
        connection.rollback()


def last_outcome(connection: psycopg.Connection[Any]) -> Any:
    """Return the outcome of the last run in the ledger."""
    row = connection.execute("SELECT outcome FROM aoc_migration_log ORDER BY run DESC LIMIT 1").fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_signal(lab: Lab, step: Step, number: signal.Signals) -> None:
    """The signal ends the step here and on the server, the ledger says so, and the same command goes on."""
    peace = lab.undisturbed(step.scenario)
    seen = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND {step.seen} "
    seen += "AND application_name LIKE 'aoc-migrate %')"
    with lab.database(peace.template) as name, lab.connect(name) as look:
        conninfo = lab.url_of(name)
        with blocked(conninfo, step.blocker):
            process = lab.start("excititor", conninfo, *step.scenario.words, *step.options)
            wait_until(lambda: look.execute(seen.encode()).fetchone() == (True,))
            process.send_signal(number)
            _, err = process.communicate(timeout=SOON)
            assert process.returncode == 128 + number, err
            assert f"ended by {number.name}" in err
            wait_until(lambda: look.execute(OURS).fetchone() == (0,), 5)
        if step.recorded:
            assert last_outcome(look) == "interrupted"

        again = lab.run("excititor", conninfo, *step.scenario.words)

        assert again.exit_code == 0, again.out + again.err
        assert differences(peace.outcome, outcome(look)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["wait", "audit"])
def test_signal_to_who_only_reads(lab: Lab, command: str, number: signal.Signals) -> None:
    """`wait`, and `audit` while it reads a large table, end as soon, and leave nothing behind on the server."""
    peace = lab.undisturbed(up(rows=MANY))
    with lab.database(peace.template) as name, lab.connect(name) as look:
        process = lab.start("excititor", lab.url_of(name), command, "excititor")
        assert process.stderr is not None
        assert process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=SOON)

        assert process.returncode == 128 + number, err
        wait_until(lambda: look.execute(OURS).fetchone() == (0,), 5)
