"""What tests need to steer a run: runs that are held up until the test lets them go, and what they record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import Aoc, Database, Ran
from tests.forks import Process
from tests.helpers import unread_slot, wait_until

SMALL = ("--batch-rows", "100", "--max-lag", "1MB")
_WAITS = "SELECT count(*) FROM aoc_migration_log WHERE ended_at IS NULL AND progress->>'waits_for' LIKE %s"


def asked(database: Database) -> Any:
    """Return the row that a run reads, or None."""
    return database.value("SELECT value FROM aoc_migration_state WHERE name = 'control'")


def until_waiting(database: Database, why: str) -> None:
    """Wait until the run under way says that it waits for something with these words."""
    wait_until(lambda: database.value("SELECT to_regclass('aoc_migration_log') IS NOT NULL"))
    wait_until(lambda: database.value(_WAITS, [f"%{why}%"]) == 1)


@contextmanager
def held_up(database: Database, aoc: Aoc, *words: str) -> Iterator[Process]:
    """Yield a run that has done one batch, and pauses for a slot until the block ends."""
    with unread_slot(database):
        process = aoc.start(*words, *SMALL, "--format", "json")
        until_waiting(database, "slot")
        yield process


def ended(process: Process) -> Ran:
    """Return how a process ended, and what it wrote."""
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def controls(database: Database) -> list[str]:
    """Return what the ledger says was asked of the latest run."""
    query = "SELECT controls FROM aoc_migration_log ORDER BY run DESC LIMIT 1"
    return [change["asked"] for change in database.value(query)]
