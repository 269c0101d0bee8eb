"""`plan` shows what would run, and changes nothing."""

import json
from pathlib import Path

import pytest

from aoc_migrate.revisions.graph import history
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill


def test_a_plan_changes_nothing(target_with_chain: Database, aoc: Aoc) -> None:
    """A plan leaves no trace in the database, not even our own tables."""
    before = fingerprint(target_with_chain.connection, without="^$")

    ran = aoc.json("plan", target_with_chain.target)

    assert ran.exit_code == 0
    assert fingerprint(target_with_chain.connection, without="^$") == before


def test_every_step_is_in_the_plan(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """What the plan lists is what an upgrade then runs, statement by statement, in this order."""
    listed = [step["statement"] for step in aoc.json("plan", target_with_chain.target).report["facts"]["plan"]]

    ran = aoc.json("upgrade", target_with_chain.target, **retrofit)

    run = [step["statement"] for step in ran.report["steps"]]
    assert listed == run


def test_each_estimate_is_reported_with_the_actual_time(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Each step that reads or writes rows is estimated in the plan, and afterwards with the time that it took."""
    planned = {s["statement"] for s in aoc.json("plan").report["facts"]["plan"] if s["estimated_ms"] is not None}

    run = aoc.json("upgrade", target_with_chain.target, **retrofit).report["steps"]

    assert planned == {s["statement"] for s in run if "estimated_ms" in s}
    assert {s["statement"].split()[0] for s in run if "estimated_ms" in s} == {"VALIDATE", "CREATE", "link"}
    assert all("total_ms" in step for step in run if "estimated_ms" in step)


def test_missing_links_are_estimated_from_statistics(excititor: Database, aoc: Aoc) -> None:
    """How many links are missing follows from the statistics, and with it the WAL; rows in no chain need none."""
    aoc.configure(excititor)
    fill(excititor, 5000)
    excititor.run("ALTER TABLE vex_raw ADD supersedes text")
    excititor.run("ANALYZE vex_raw")
    before = aoc.json("plan").report["facts"]
    excititor.run("UPDATE vex_raw SET supersedes = id; ANALYZE vex_raw")
    after = aoc.json("plan").report["facts"]
    excititor.run("UPDATE vex_raw SET supersedes = NULL, upstream_id = CASE WHEN id < 'r5' THEN upstream_id END")
    excititor.run("ANALYZE vex_raw")
    chained = aoc.json("plan").report["facts"]

    assert 3800 < before["links_estimated"] < 4200
    assert before["backfill_wal_compressed_at_most_bytes"] < before["backfill_wal_at_most_bytes"] / 4
    assert after["links_estimated"] == 0
    assert 0.6 < chained["links_estimated"] / excititor.value("SELECT 0.8 * count(upstream_id) FROM vex_raw") < 1.4


def test_a_table_without_rows_is_not_measured(excititor: Database, aoc: Aoc) -> None:
    """An empty table, never analysed, has a plan without times."""
    aoc.configure(excititor)

    facts = aoc.json("plan").report["facts"]

    assert "estimated_seconds" not in facts
    assert facts["rows_estimated"] == 0


def test_a_relative_revision_plans_the_way_down(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A relative revision plans the way down, from where the database is."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0

    facts = aoc.json("plan", target_with_chain.target, "-1").report["facts"]

    last, before = history(target_with_chain.target)[-1].id, history(target_with_chain.target)[-2].id
    assert (facts["direction"], facts["from_revision"], facts["to_revision"]) == ("downgrade", last, before)
    assert {step["revision"] for step in facts["plan"]} == {last}


def test_a_plan_for_base_at_base_is_empty(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """At base, a plan for base is empty, and an upgrade to base, with its evidence, has nothing to do."""
    aoc.configure(excititor)

    planned = aoc.json("plan", "excititor", "base")
    upgraded = aoc.json("upgrade", "excititor", "base", "--evidence", str(tmp_path))

    assert (planned.exit_code, planned.report["facts"]["plan"]) == (0, []), planned.err
    assert (upgraded.exit_code, upgraded.report["revision"]) == (0, None), upgraded.err
    assert len(list(tmp_path.glob("*/excititor-plan.json"))) == 1


def test_each_step_names_its_lock_and_its_reads(excititor: Database, aoc: Aoc) -> None:
    """Each step shows its lock and what it reads; strong locks read nothing."""
    aoc.configure(excititor)

    steps = aoc.json("plan").report["facts"]["plan"]

    assert {s["reads"] for s in steps if s["lock"].startswith("ACCESS EXCLUSIVE")} == {"nothing"}
    reads = [(s["revision"], s["reads"]) for s in steps if s["reads"] != "nothing"]
    assert reads == [
        ("excititor_0003", "one scan of the table"),
        ("excititor_0004", "two scans of the table"),
        ("excititor_0005", "two scans of the table"),
        ("excititor_0006", "one pass in order"),
        ("excititor_0007", "one scan of the table and its documents"),
    ]
    assert {s["writes"] for s in steps if s["lock"].startswith("ACCESS EXCLUSIVE")} == {"the catalog"}


def test_the_room_for_indexes_is_estimated(excititor: Database, aoc: Aoc) -> None:
    """The plan estimates the space that the indexes need, within a factor of two."""
    aoc.configure(excititor)
    fill(excititor, 20_000)
    excititor.run("ANALYZE vex_raw")
    estimated = aoc.json("plan").report["facts"]["new_indexes_estimated_bytes"]

    assert aoc("upgrade", "excititor_0005").exit_code == 0

    taken = excititor.value(
        "SELECT sum(pg_relation_size(indexrelid)) FROM pg_index "
        "WHERE indexrelid::regclass::text IN ('vex_raw_idempotency_v1', 'vex_raw_chain_v1')"
    )
    assert 0.5 < estimated / float(taken) < 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "base:head"], "FROM:TO needs TARGET and --sql"),
        (["plan", "excititor", "base:head"], "FROM:TO needs TARGET and --sql"),
        (["plan", "excititor", "base:+1", "--sql"], "revisions cannot be relative"),
        (["plan", "excititor", "nowhere:head", "--sql"], "neither a target nor a revision"),
        (["plan", "excititor", "excititor_0009"], "neither a target nor a revision"),
        (["plan", "excititor", "-1"], "-1 leads to no revision"),
        (["plan", "--sql", "--max-stall", "0s"], "too short"),
    ],
    ids=str,
)
def test_wrong_usage_is_refused(excititor: Database, aoc: Aoc, words: list[str], message: str) -> None:
    """Wrong usage is refused with exit code 2 and one sentence."""
    aoc.configure(excititor)

    ran = aoc(*words)

    assert ran.exit_code == 2
    assert message in ran.err
    assert ran.out == ""


def test_one_script_is_for_one_target(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """With two targets configured, a script or a relative plan needs one named."""
    aoc.configure(concelier, excititor)

    assert aoc("plan", "--sql").exit_code == 2
    assert aoc("plan", "-1").exit_code == 2
    assert aoc("plan").exit_code == 0


def test_no_script_is_written_without_a_database(aoc: Aoc) -> None:
    """A script for a database that does not answer is not written; stdout stays empty, the reason is on stderr."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"

    ran = aoc("plan", "excititor", "--sql")

    assert ran.exit_code == 3
    assert "unreachable" in ran.err
    assert ran.out == ""


def test_a_plan_shows_a_hold(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A plan shows the hold that a plain upgrade would stop at."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    assert aoc("downgrade", target_with_chain.target, "-1").exit_code == 0

    assert "held" in aoc.json("plan", target_with_chain.target).slugs()


def test_every_format_shows_each_step(excititor: Database, aoc: Aoc) -> None:
    """Table and Markdown show each step; JSON is JSON."""
    aoc.configure(excititor)

    for form in ("table", "markdown"):
        assert "VALIDATE" in aoc("plan", "--format", form).out
    assert json.loads(aoc("plan", "--format", "json").out)["command"] == "plan"
