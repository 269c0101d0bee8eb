"""The ledger aoc_migration_log, and what `history` shows of it."""

import json
import re

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.revisions.graph import history
from aoc_migrate.revisions.revision_sql import checksum, render
from tests.conftest import Aoc, Database
from tests.helpers import psql, wait_until
from tests.postgres_versions import major


def runs(aoc: Aoc) -> list[tuple[str, str, str, str]]:
    """(command, from, goal, outcome) of each run, oldest first."""
    found = aoc.json("history").report["facts"]["runs"]
    return [(r["command"], r["from_revision"], r["goal"], r["outcome"]) for r in reversed(found)]


def test_only_runs_that_change_something_are_recorded(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Runs that change something are in the ledger with absolute revisions; those with nothing to do are not."""
    aoc.configure(excititor)
    for words in (["upgrade"], ["upgrade"], ["downgrade", "-2"], ["upgrade"], ["upgrade", "--release-hold"]):
        assert aoc(*words, **retrofit).exit_code == 0
    assert aoc("constraints", "--remove").exit_code == 0
    assert aoc("chain", "--apply").exit_code == 0

    assert runs(aoc) == [
        ("upgrade", "base", "excititor_0007", "done"),
        ("downgrade -2", "excititor_0007", "excititor_0005", "done"),
        ("upgrade", "excititor_0005", "excititor_0007", "done"),
        ("constraints --remove", "excititor_0007", "excititor_0007", "done"),
        ("chain --apply", "excititor_0007", "excititor_0007", "done"),
    ]


def test_runs_of_stock_alembic_are_recorded(excititor: Database, aoc: Aoc) -> None:
    """Runs of stock Alembic are in the ledger as well."""
    import subprocess
    import sys

    from tests.conftest import ROOT

    aoc.configure(excititor)
    for words in (["upgrade", "excititor@head"], ["downgrade", "-1"]):
        command = [sys.executable, "-m", "alembic", "-n", "excititor", *words]
        subprocess.run(command, cwd=ROOT, env=aoc.env(), check=True, capture_output=True)

    assert runs(aoc) == [
        ("alembic upgrade excititor@head", "base", "excititor_0007", "done"),
        ("alembic downgrade -1", "excititor_0007", "excititor_0006", "done"),
    ]


def test_a_run_is_recorded_with_role_host_and_times(excititor: Database, aoc: Aoc) -> None:
    """A run is recorded with role, host, image, versions, and the times of each step."""
    aoc.configure(excititor)
    aoc("upgrade", AOC_IMAGE="registry/aoc-migrate:1.2.3", HOSTNAME="migrate-pod-x")

    report = aoc.json("history").report
    (run,) = report["facts"]["runs"]

    assert (run["host"], run["image"]) == ("migrate-pod-x", "registry/aoc-migrate:1.2.3")
    assert run["role"] == excititor.connection.info.user
    assert run["started_at"] <= run["ended_at"]
    assert run["server_version"].split(".")[0] == str(major(excititor.connection))
    steps = {key for step in report["steps"] for key in step}
    assert steps == {"statement", "attempts", "waited_ms", "held_ms", "total_ms"}
    assert len(report["steps"]) == run["steps_done"] >= 7
    stalls = [step["waited_ms"] + step["held_ms"] for step in report["steps"] if "held_ms" in step]
    assert run["longest_stall_ms"] == pytest.approx(max(stalls))


def test_history_shows_one_run(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """With --run, history has that run alone, with its steps and the rows that it wrote."""
    excititor.add("1", retrieved_at="2025-01-01T00:00:00Z", content_hash="1")
    excititor.add("2", retrieved_at="2025-01-02T00:00:00Z", content_hash="2")
    aoc.configure(excititor)
    for words in (["upgrade"], ["downgrade", "-1"], ["downgrade", "-1"]):
        assert aoc(*words, **retrofit).exit_code == 0

    report = aoc.json("history", "--run", "1").report
    (run,) = report["facts"]["runs"]

    assert (run["run"], run["command"], run["rows_written"]) == (1, "upgrade", 1)
    assert len(report["steps"]) == run["steps_done"]
    assert "downgrade" not in aoc("history", "--run", "1").out


def test_status_shows_what_a_dashboard_needs(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """The JSON of status has sizes, linked rows, the latest runs, the hold and who holds the lock."""
    excititor.add("1", retrieved_at="2025-01-01T00:00:00Z", content_hash="1")
    excititor.add("2", retrieved_at="2025-01-02T00:00:00Z", content_hash="2")
    aoc.configure(excititor)
    assert aoc("upgrade", "--ticket", "CHG-1", **retrofit).exit_code == 0
    excititor.run("ANALYZE vex_raw")
    before = aoc.json("status").report["facts"]
    assert aoc("downgrade", "-1").exit_code == 0
    key = lock_key("excititor", "public")
    with psycopg.connect(excititor.url, application_name="aoc-migrate upgrade @pod: x") as other:
        pid = other.info.backend_pid
        other.execute("SELECT pg_advisory_lock(%s)", (key,))
        after = aoc.json("status").report

    assert (before["backfilled_rows"], before["rows_estimated"], before["runners"]) == (1, 2, [])
    assert 0 < before["table_bytes"] < before["with_documents_and_indexes_bytes"]
    assert [(run["command"], run["ticket"]) for run in before["latest_runs"]] == [("upgrade", "CHG-1")]
    assert not {name for name in before if name.startswith("held")}
    facts = after["facts"]
    assert (after["verdict"], facts["held_after"], facts["held_at_revision"], facts["rollback_finished"]) == (
        "HELD",
        "downgrade -1",
        "excititor_0006",
        True,
    )
    (runner,) = facts["runners"]
    assert (runner["pid"], runner["application"]) == (pid, "aoc-migrate upgrade @pod: x")


def test_a_failed_run_is_recorded_with_its_finding(excititor: Database, aoc: Aoc) -> None:
    """A run that gives up is `failed`, with the finding that ended it and the steps that were done."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        stopped = aoc.json("upgrade", "--deadline", "1s")

    latest = aoc.json("history").report["facts"]["runs"][0]

    assert (stopped.exit_code, stopped.report["next"]["command"]) == (
        3,
        "aoc-migrate upgrade excititor --deadline 1s",
    )
    assert (latest["outcome"], latest["findings"], latest["revision"]) == (
        "failed",
        ["deadline"],
        "excititor_0003",
    )


def test_a_killed_run_becomes_interrupted(excititor: Database, aoc: Aoc) -> None:
    """An open run is `running` with its step while it lives, and `interrupted` once it was killed."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        process = aoc.start("upgrade")
        wait_until(lambda: runs(aoc)[-1][3] == "running")
        wait_until(lambda: "INDEX" in str(aoc.json("history").report["facts"]["runs"][0]["step"]))
        process.kill()
        process.communicate()
        wait_until(lambda: runs(aoc)[-1][3] == "interrupted")
    assert aoc("upgrade").exit_code == 0

    outcomes = [outcome for *_, outcome in runs(aoc)]

    assert outcomes == ["done", "interrupted", "done"]
    assert excititor.value("SELECT count(*) FROM aoc_migration_log WHERE ended_at IS NULL") == 0


def test_only_a_session_with_the_run_lock_is_a_run(excititor: Database, aoc: Aoc) -> None:
    """A killed run whose pid another session has now is `interrupted`, whatever lock that session holds."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    found = []
    with psycopg.connect(excititor.url, autocommit=True) as other:
        opened = "UPDATE aoc_migration_log SET outcome = NULL, ended_at = NULL, pid = %s, started_at = {}"
        for key, started in (
            (1, "now()"),
            (lock_key("excititor", "public"), "now() - interval '1 day'"),
            (0, "now()"),
        ):
            other.execute("SELECT pg_advisory_lock(%s)", (key,))
            excititor.run(opened.format(started), (other.info.backend_pid,))
            found.append(runs(aoc)[-1][3])

    assert found == ["interrupted", "interrupted", "running"]


def test_verify_finds_an_edited_revision(excititor: Database, aoc: Aoc) -> None:
    """verify, and not status or audit, reports a revision whose SQL is not what was applied."""
    aoc.configure(excititor)
    aoc("upgrade")
    assert aoc.json("verify").slugs() == []
    excititor.run('UPDATE aoc_migration_log SET checksums = checksums || \'{"excititor_0004": "other"}\'')

    ran, *others = (aoc.json(command) for command in ("verify", "status", "audit"))

    assert [other.slugs() for other in others] == [[], []]
    assert (ran.exit_code, ran.slugs()) == (0, ["edited-revision"])
    assert ran.finding("edited-revision")["subject"] == "excititor_0004"


def test_every_way_of_running_has_the_same_checksum(excititor: Database, aoc: Aoc) -> None:
    """The checksum is of the SQL of a revision, up and down, whether the command or a psql script has run it."""
    (revision,) = [r for r in history("excititor") if r.id == "excititor_0004"]
    aoc.configure(excititor)

    assert psql(excititor, aoc("plan", "excititor", "base:excititor_0004", "--sql").out).exit_code == 0
    assert aoc("downgrade", "base").exit_code == 0
    assert aoc("upgrade", "excititor_0004", "--release-hold").exit_code == 0

    kept = "SELECT command, checksums->>'excititor_0004' FROM aoc_migration_log WHERE checksums ? 'excititor_0004'"
    recorded = dict(excititor.rows(kept))
    assert {"psql", "upgrade"} <= {command.split()[0] for command in recorded}
    assert {*recorded.values()} == {checksum(revision)}
    assert "CREATE UNIQUE INDEX CONCURRENTLY vex_raw_idempotency_v1" in render(revision, "upgrade")
    assert "DROP INDEX CONCURRENTLY" in render(revision, "downgrade")


def test_history_prints_every_format(excititor: Database, aoc: Aoc) -> None:
    """The ledger reads as table, JSON and Markdown; an unknown run is exit 2, an empty ledger is fine."""
    aoc.configure(excititor)
    assert aoc.json("history").report["facts"] == {"runs": []}
    aoc("upgrade")

    assert re.search(r"(?m)^ +1  upgrade +excititor_0007 ", aoc("history").out)
    assert "| 1 | upgrade | base |" in aoc("history", "--format", "markdown").out
    assert json.loads(aoc("history", "--run", "1", "--format", "json").out)["exit_code"] == 0
    missing = aoc("history", "--run", "99")
    assert (missing.exit_code, "has no run 99" in missing.err) == (2, True)
