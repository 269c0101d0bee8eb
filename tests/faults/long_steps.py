"""The long steps of a run, each made long without much data, and how to recognize that a run is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from aoc_migrate.database.runner_lock import lock_key
from tests.faults.scenarios import ROWS, Scenario

MANY = 100_000
LOCK_WAIT = "wait_event_type = 'Lock' AND query LIKE "
OURS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name LIKE 'aoc-migrate %'"
)


@dataclass(frozen=True)
class Step:
    """A long step: how it is made long, how it is recognized, and whether the ledger has a row by then."""

    name: str
    scenario: Scenario
    seen: str
    blocker: str = "SELECT"
    options: tuple[str, ...] = ()
    recorded: bool = True

    def __str__(self) -> str:
        return self.name

    def reached(self, look: psycopg.Connection[Any]) -> bool:
        """Return whether a run is in this step now."""
        sql = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND {self.seen} "
        sql += "AND application_name LIKE 'aoc-migrate %')"
        return look.execute(sql.encode()).fetchone() == (True,)


def up(*before: str, rows: int = ROWS) -> Scenario:
    """Upgrade to the head from the revision in ``before``."""
    return Scenario("excititor", tuple(f"upgrade excititor_{number}" for number in before), "upgrade head", rows)


def down(before: str) -> Scenario:
    """One step down from the revision ``before``."""
    return Scenario("excititor", (f"upgrade excititor_{before}",), "downgrade -1")


BUILDING = "pid IN (SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE '{}')"
ROW_LOCK = "SELECT FROM vex_raw WHERE id = 'r2' FOR UPDATE"
STEPS = [
    Step(
        "waiting for the run lock",
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
        "state = 'idle' AND state_change < clock_timestamp() - interval '0.1 s' "
        "AND application_name LIKE '%: ADD CONSTRAINT%'",
        "LOCK TABLE vex_raw IN ACCESS SHARE MODE",
        ("--max-stall", "10ms"),
    ),
    Step(
        "an index build that waits",
        up("0003"),
        BUILDING.format("waiting%"),
        "UPDATE vex_raw SET linkset = linkset WHERE id = 'r2'",
    ),
    Step("an index build", up("0002", rows=MANY), BUILDING.format("building index%")),
    Step("a validation", up("0002", rows=MANY), "state = 'active' AND query LIKE 'ALTER TABLE%VALIDATE%'"),
    Step("a batch of the backfill", up("0005"), LOCK_WAIT + "'WITH place%'", ROW_LOCK),
    Step(
        "the audit of an upgrade",
        up("0002", rows=MANY),
        "state = 'active' AND query LIKE '%FROM \"public\".\"vex_raw\"%'",
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
        connection.close()
