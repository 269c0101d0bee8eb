"""`status` in another terminal: how far the running step is, and what it waits for."""

import os
import re
import signal
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.report.facts.running import Running, readable
from tests.adversary import REQUIRED
from tests.builds import INDEX
from tests.conftest import Aoc, Database
from tests.helpers import before_backfill, fill, unread_slot, wait_until

BACKFILL = ("upgrade", "excititor_0006", "--batch-rows", "100", "--max-lag", "1MB", "--deadline", "60s")


def running(aoc: Aoc, **environment: str) -> Any:
    """Return what `status` says runs now."""
    ran = aoc.json("status", **environment)
    assert ran.exit_code == 0, ran.out
    return ran.report["facts"]["running"]


def until_recorded(database: Database) -> None:
    """Wait until the ledger has the progress of a step."""
    wait_until(lambda: database.value("SELECT to_regclass('aoc_migration_log') IS NOT NULL"))
    wait_until(lambda: database.value("SELECT count(*) FROM aoc_migration_log WHERE progress IS NOT NULL") == 1)


def held_up(database: Database, aoc: Aoc, blocking: str, goal: str) -> tuple[int, Any, str]:
    """Return the pid of a transaction that holds an upgrade up, what `status` says of that, and the log."""
    with psycopg.connect(database.url) as other:
        other.execute(blocking.encode())
        process = aoc.start("upgrade", goal)
        until_recorded(database)
        (seen,) = running(aoc)
        other.rollback()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return other.info.backend_pid, seen, err


def test_nothing_runs(excititor: Database, aoc: Aoc) -> None:
    """Without a runner nothing is running, before the first upgrade and after it."""
    aoc.configure(excititor)

    assert running(aoc) == []
    assert aoc("upgrade").exit_code == 0
    assert running(aoc) == []
    assert excititor.value("SELECT count(*) FROM aoc_migration_log WHERE progress IS NOT NULL") == 0


def test_a_paused_backfill(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A paused backfill shows what is done of the total, and why it pauses; the next run counts on from there."""
    before_backfill(excititor, aoc, retrofit, request)
    with unread_slot(excititor) as slot:
        first = aoc.start(*BACKFILL)
        until_recorded(excititor)
        (seen,) = running(aoc)
        table = aoc("status").out
        first.terminate()
        first.communicate()
        second = aoc.start(*BACKFILL)
        until_recorded(excititor)
        (resumed,) = running(aoc)
    second.communicate(timeout=60)

    assert (seen["step"], seen["done"], seen["total"], seen["percent"]) == ("link rows of vex_raw", 101, 400, 25)
    assert (seen["unit"], seen["approximate"], seen["per_second"] > 0) == ("rows", True, True)
    assert seen["waits_for"].startswith(f"pausing because slot '{slot}' is ")
    assert seen["elapsed_seconds"] >= seen["waited_seconds"] > 0
    assert "  running:\n" in table
    assert "waits for    pausing because slot" in table
    assert (resumed["done"], resumed["total"], second.returncode) == (201, 400, 0)


def counted(database: Database, aoc: Aoc, *words: str) -> tuple[Any, ...]:
    """Return what `status` counts while a command pauses after its first batch; then end the command."""
    with unread_slot(database):
        process = aoc.start(*words, "--batch-rows", "100", "--max-lag", "1MB", "--deadline", "60s")
        until_recorded(database)
        (seen,) = running(aoc)
        process.terminate()
        process.communicate()
    return seen["step"], seen["done"], seen["total"], seen["unit"]


def test_links_that_are_set_back(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A downgrade counts the links that it sets back, of all in the journal."""
    before_backfill(excititor, aoc, retrofit, request)
    assert aoc("upgrade", "excititor_0006").exit_code == 0

    assert counted(excititor, aoc, "downgrade", "-1") == ("set back links of vex_raw", 100, 319, "links")


def test_rows_on_their_way_into_quarantine(excititor: Database, aoc: Aoc) -> None:
    """Before the first upgrade too, rows that move are counted, of all on the list."""
    fill(excititor, 150)
    excititor.run("UPDATE vex_raw SET upstream_id = 'CVE-1', content_hash = 'sha256:1'")
    aoc.configure(excititor)

    assert counted(excititor, aoc, "dedupe", "--apply") == ("move rows of vex_raw", 16, 149, "rows")


def test_an_index_build_that_waits(excititor: Database, aoc: Aoc) -> None:
    """A build that an old transaction holds up shows its phase, its estimate, and whom it waits for."""
    fill(excititor, 100)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0

    pid, seen, err = held_up(
        excititor, aoc, "UPDATE vex_raw SET linkset = linkset WHERE id = 'r1'", "excititor_0004"
    )

    assert f"{INDEX} " in seen["step"]
    assert seen["step"].startswith("CREATE UNIQUE INDEX CONCURRENTLY")
    assert seen["doing"] == "waiting for writers before build"
    assert seen["waits_for"].startswith(f"waiting for pid {pid} (sandbox, ")
    assert (seen["estimated_ms"] > 0, "left_seconds" in seen) == (True, False)
    assert re.search(
        rf": waiting for writers before build, \d+ s of about 0 s \(estimate\), waiting for pid {pid} ", err
    )


def test_a_validation_that_waits(excititor: Database, aoc: Aoc) -> None:
    """A validation, of which nothing is counted, shows its time next to the estimate, and whom it waits for."""
    fill(excititor, 100)
    excititor.run("ALTER TABLE vex_raw " + ", ".join(f"ALTER {column} SET NOT NULL" for column in REQUIRED))
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002").exit_code == 0

    pid, seen, err = held_up(excititor, aoc, "LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE", "excititor_0003")

    assert seen["step"].startswith("VALIDATE ")
    assert seen["waits_for"].startswith(f"waiting for pid {pid} ")
    assert (seen["elapsed_seconds"] > 0, seen["estimated_ms"] > 0, "done" in seen) == (True, True, False)
    assert f" s of about 0 s (estimate), waiting for pid {pid} " in err


@pytest.mark.parametrize("tenant", [(), ("--tenant", "default")])
def test_a_verifier_sees_it(tenant: tuple[str, ...], excititor: Database, aoc: Aoc) -> None:
    """A verifier sees it too; one of a tenant, who may not read the ledger, sees the step and who blocks it."""
    role = f"seeing_{excititor.connection.info.backend_pid}"
    aoc.configure(excititor)
    aoc.environment["AOC_VERIFIER_USER"] = role
    excititor.run("ALTER TABLE vex_raw ENABLE ROW LEVEL SECURITY")
    excititor.add("1")
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url) as old:
        assert aoc("verifier", "create", *tenant).exit_code == 0
        excititor.run(f"ALTER ROLE {role} PASSWORD 'v'")
        old.execute("UPDATE vex_raw SET linkset = linkset")
        process = aoc.start("upgrade", "excititor_0004")
        try:
            until_recorded(excititor)
            (seen,) = running(aoc, EXCITITOR_DATABASE_URL=excititor.url_as(role, "v"))
        finally:
            old.rollback()
            process.communicate(timeout=60)
            excititor.run(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")

    assert seen["step"].startswith("CREATE UNIQUE INDEX")
    assert seen["waits_for"].startswith("waiting for pid ")
    assert ("doing" in seen, "elapsed_seconds" in seen) == (not tenant, not tenant)


def test_a_killed_runner_is_not_running(
    request: pytest.FixtureRequest, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """What a killed runner recorded last is not shown, even if another session holds the lock now."""
    before_backfill(excititor, aoc, retrofit, request)
    with unread_slot(excititor):
        process = aoc.start(*BACKFILL)
        until_recorded(excititor)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    wait_until(lambda: excititor.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0)

    assert excititor.value("SELECT count(*) FROM aoc_migration_log WHERE progress IS NOT NULL") == 1
    assert running(aoc) == []
    with psycopg.connect(excititor.url, autocommit=True) as later:
        later.execute("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])
        excititor.run("UPDATE aoc_migration_log SET pid = %s", [later.info.backend_pid])  # numbers are used again
        assert running(aoc) == []
        later.execute("SET application_name = 'aoc-migrate upgrade @pod: a step'")
        assert running(aoc) == [{"step": "a step"}]


@pytest.mark.alike
@pytest.mark.parametrize("stored", ["1", "{}", '{"step": 1}', '{"step": "\\u202e"}', '{"step": "x", "done": -1}'])
def test_what_is_stored_is_data(
    stored: str, excititor: Database, request: pytest.FixtureRequest, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Whatever the ledger holds as progress is no error, and no more than a printable text."""
    before_backfill(excititor, aoc, retrofit, request)
    with unread_slot(excititor):
        process = aoc.start(*BACKFILL)
        until_recorded(excititor)
        excititor.run("UPDATE aoc_migration_log SET progress = %s::jsonb WHERE ended_at IS NULL", [stored])
        (seen,) = running(aoc)
        table = aoc("status").out
        process.terminate()
        process.communicate()

    assert (seen["step"], "done" in seen) == ("link rows of vex_raw", False)
    assert "\u202e" not in table


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"step": "x"}, Running("x")),
        (
            {"step": "x", "done": 1, "total": 4, "unit": "rows"},
            Running("x", done=1, total=4, unit="rows", percent=25),
        ),
        ({"step": "x", "done": 5, "total": 4, "unit": "rows", "percent": 7}, Running("x", done=5, unit="rows")),
        ({"step": "x", "done": True, "total": "4", "unit": "rows"}, Running("x", unit="rows")),
        ({"step": "x", "elapsed_seconds": 1e300, "waits_for": [], "unit": 1, "done": 1}, Running("x")),
        ({"step": None}, None),
        ([], None),
    ],
)
def test_only_what_has_its_type_is_read(stored: Any, expected: Running | None) -> None:
    """Of a stored record, only fields of their type are read; percentages are computed again."""
    assert readable(stored) == expected
