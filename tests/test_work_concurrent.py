"""`dedupe` and `repair` with constraints in place, other sessions that write, and `kill -9` at every batch."""

import os
import signal
from typing import Any

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.forks import Process
from tests.helpers import dump, restore_all, wait_until

BATCH = 2
GOOD = {"source": {"vendor": "osv"}, "upstream": {"upstream_id": "CVE-1", "content_hash": "sha256:1"}}
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE 'aoc-migrate%' AND wait_event_type = 'Lock'"
)
END = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE 'aoc-migrate%'"
)


def start(aoc: Aoc, *words: str) -> Process:
    """Start the command with batches of two rows."""
    return aoc.start(*words, "--batch-rows", str(BATCH))


def places(database: Database) -> list[str]:
    """Return the ids in the table and those that were moved from it; an id in both would be there twice."""
    kept = f"{database.table}_quarantine"
    there = [id_ for (id_,) in database.rows(f"SELECT id FROM {database.table}")]
    if database.value("SELECT to_regclass(%s)", [kept]):
        there += [id_ for (id_,) in database.rows(f"SELECT id FROM {kept} WHERE quarantine_repaired IS NULL")]
    return sorted(there)


def dirty(database: Database) -> list[str]:
    """Fill the table, and return the ids in the order in which `repair` takes them: repairs first, then moves."""
    database.run(f"ALTER TABLE {database.table} ADD COLUMN supersedes text")
    for n in range(5):
        database.add(f"m{n}", **GOOD, source_vendor="" if n < 4 else "osv")
        database.add(f"v{n}", tenant=None, supersedes=f"v{n - 1}" if n % 2 else None)
        database.add(f"w{n}", supersedes=f"v{n}", upstream_id=f"CVE-{n}", content_hash="h")
    return [*(f"m{n}" for n in range(4)), *(f"v{n}" for n in range(5))]


def twice(database: Database) -> list[str]:
    """Fill the table with duplicates, and return the ids in the order in which `dedupe` takes them."""
    database.run(f"ALTER TABLE {database.table} ADD COLUMN supersedes text")
    for n in range(6):
        values = {
            "upstream_id": f"CVE-{n % 3}",
            "content_hash": "h",
            "retrieved_at": f"2025-01-0{n + 1}T00:00:00Z",
        }
        database.add(f"a{n}", **values)
        database.add(f"b{n}", **values, supersedes=f"a{n}")
        database.add(f"c{n}", upstream_id=f"CVE-C{n}", supersedes=f"b{n}")
    return ["a3", "a4", "a5", *(f"b{n}" for n in range(6))]


def kill_at_batches(database: Database, aoc: Aoc, words: list[str], order: list[str], lock: str) -> Any:
    """Kill the command in each of its batches, the first too, and let it end; return the last report.

    A row of the batch is locked by ``lock``, so that the statement waits there; it ends with its client.
    """
    everybody = places(database)
    left = order
    first = True
    while left and (first or len(left) > BATCH):
        victim = left[0 if first else BATCH]
        with psycopg.connect(database.url) as blocker:
            blocker.execute(lock.encode(), [victim])
            process = start(aoc, *words)
            wait_until(lambda: database.value(WAITING) == 1)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            database.run(END)
        assert places(database) == everybody
        left, first = left if first else left[BATCH:], False
    ran = aoc.json(*words)
    assert ran.exit_code == 0, ran.out
    assert places(database) == everybody
    return ran.report


@pytest.mark.alike
@pytest.mark.parametrize("command", ["repair", "dedupe"])
def test_a_run_killed_at_every_batch_goes_on(command: str, excititor: Database, aoc: Aoc) -> None:
    """However often it is killed, the same command goes on from its list; so does --restore, which undoes it."""
    order = dirty(excititor) if command == "repair" else twice(excititor)
    before = dump(excititor)
    aoc.configure(excititor)
    words = [command, "excititor", "--apply", *(["--rule", "all"] if command == "repair" else [])]

    row = "SELECT FROM vex_raw WHERE id = %s FOR UPDATE"
    report = kill_at_batches(excititor, aoc, words, order, row)

    assert report["facts"]["resumed"] == 1
    assert excititor.value("SELECT to_regclass('aoc_work_list')") is None
    kept = excititor.rows("SELECT id FROM vex_raw_quarantine ORDER BY quarantine_run, quarantine_batch, id")
    assert [id_ for (id_,) in kept] == order

    restore_all(excititor, aoc)
    assert dump(excititor) == before
    assert aoc(*words, "--batch-rows", str(BATCH)).exit_code == 0
    row = "SELECT FROM vex_raw_quarantine WHERE id = %s FOR UPDATE"
    backwards = [order[-1], *order[::-1]]  # the last batch was of one row, and is the first to go back
    kill_at_batches(excititor, aoc, [command, "excititor", "--restore", "--apply"], backwards, row)
    assert dump(excititor) == before


def test_an_unfinished_list_is_reported_and_forgotten(excititor: Database, aoc: Aoc) -> None:
    """status and verify say that a list is left; another command starts over, and --restore deletes it."""
    order = dirty(excititor)
    before = dump(excititor)
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as blocker:
        blocker.execute("SELECT FROM vex_raw WHERE id = %s FOR UPDATE", [order[2]])
        process = start(aoc, "repair", "excititor", "--rule", "all", "--apply")
        wait_until(lambda: excititor.value(WAITING) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        process.communicate()

    for command in ("status", "verify"):
        found = aoc.json(command).finding("work-unfinished")
        assert "aoc-migrate repair excititor --rule all --apply" in found["help"]
    other = aoc.json("repair", "excititor", "--rule", "null-key", "--apply").report["facts"]
    assert ("resumed" in other, other["moved"]) == (False, 5)
    restore_all(excititor, aoc)
    assert excititor.value("SELECT to_regclass('aoc_work_list')") is None
    assert dump(excititor) == before


def test_a_locked_row_keeps_no_other_locked(excititor: Database, aoc: Aoc) -> None:
    """A batch that meets a locked row lets go of its own and tries again; the report says what was done."""
    order = dirty(excititor)
    aoc.configure(excititor)
    words = ["repair", "excititor", "--rule", "all", "--apply", "--format", "json"]
    with psycopg.connect(excititor.url) as blocker:
        blocker.execute("SELECT FROM vex_raw WHERE id = %s FOR UPDATE", [order[3]])
        process = start(aoc, *words)
        wait_until(lambda: excititor.value(WAITING) == 1)
        begun = WAITING.replace("count(*)", "max(xact_start)")
        first = excititor.value(begun)
        wait_until(lambda: (excititor.value(begun) or first) != first)
        process.send_signal(signal.SIGTERM)
        process.communicate()

        process = start(aoc, *words, "--deadline", "1s")
        report = Ran(process.wait(), *process.communicate()).report

    assert (process.returncode, report["findings"][-1]["slug"]) == (3, "deadline")
    assert (report["facts"]["resumed"], report["facts"]["repaired"]) == (7, 0)
    with psycopg.connect(excititor.url) as blocker:
        blocker.execute("SELECT FROM vex_raw WHERE id = 'v0' FOR UPDATE")
        process = start(aoc, *words, "--deadline", "1s")
        report = Ran(process.wait(), *process.communicate()).report
    assert (report["facts"]["repaired"], report["facts"]["moved"]) == (2, 0)
    assert [(step["statement"], step["rows"]) for step in report["steps"]] == [("repair rows of vex_raw", 2)]
    assert aoc("repair", "excititor", "--rule", "all", "--apply").exit_code == 0


def test_restore_deletes_a_list_that_was_not_begun(excititor: Database, aoc: Aoc) -> None:
    """Killed between the list and the first batch, --restore deletes the list, and no earlier run goes back."""
    order = dirty(excititor)
    aoc.configure(excititor)
    excititor.add("earlier", **GOOD, retrieved_at=None)
    assert aoc("repair", "excititor", "--rule", "missing-required", "--apply").exit_code == 0
    kept = places(excititor)
    with psycopg.connect(excititor.url) as blocker:
        blocker.execute("SELECT FROM vex_raw WHERE id = %s FOR UPDATE", [order[0]])
        process = start(aoc, "repair", "excititor", "--rule", "all", "--apply")
        wait_until(lambda: excititor.value(WAITING) == 1)
        process.kill()
        process.communicate()
        excititor.run(END)
    shown = aoc.json("dedupe", "--restore").report
    assert (shown["facts"], shown["changed"]) == ({}, False)
    assert shown["next"]["choices"] == ["aoc-migrate repair excititor --restore --apply"]

    ran = aoc.json(*shown["next"]["choices"][0].split()[1:])

    assert (ran.exit_code, ran.report["facts"]) == (0, {"restored": 0})
    assert "moved nothing" in ran.report["next"]["note"]
    assert (places(excititor), excititor.value("SELECT to_regclass('aoc_work_list')")) == (kept, None)
    assert aoc.json("repair", "--restore").report["facts"]["restores_run"] == 1


def test_a_row_changed_meanwhile_is_judged_again(excititor: Database, aoc: Aoc) -> None:
    """A row that somebody repaired, or changed elsewhere, while we waited for it is judged as it is then."""
    for id_ in ("fixed", "richer"):
        excititor.add(id_, **GOOD, source_vendor="", upstream_id=id_)
    excititor.add("found", **GOOD, tenant=None)
    excititor.add("one", upstream_id="twice", content_hash="h")
    excititor.add("two", upstream_id="twice", content_hash="h", retrieved_at="2025-02-02T00:00:00Z")
    aoc.configure(excititor)
    repaired = {
        "fixed": "source_vendor = 'redhat'",
        "richer": "linkset = '{\"aliases\": []}'",
    }
    moved = {"found": "tenant = 't'"}
    deduped = {"two": "content_hash = 'other'"}
    for words, changes in (
        (["repair", "--rule", "blank-key"], repaired),
        (["repair", "--rule", "null-key"], moved),
        (["dedupe"], deduped),
    ):
        with psycopg.connect(excititor.url) as other:
            for id_, change in changes.items():
                other.execute(f"UPDATE vex_raw SET {change} WHERE id = %s".encode(), [id_])
            process = aoc.start(*words, "excititor", "--apply")
            wait_until(lambda: excititor.value(WAITING) == 1)
        process.communicate()
        assert process.returncode == 0

    assert excititor.rows("SELECT id, linkset->'aliases' IS NOT NULL FROM vex_raw_quarantine") == [
        ("richer", True)
    ]
    row = "SELECT id, tenant, source_vendor, content_hash = 'other' FROM vex_raw WHERE id <> 'one' ORDER BY id"
    assert excititor.rows(row) == [
        ("fixed", "default", "redhat", False),
        ("found", "t", "osv", False),
        ("richer", "default", "osv", False),
        ("two", "default", "osv", True),
    ]
