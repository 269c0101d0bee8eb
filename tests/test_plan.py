"""`plan` shows what would run, and changes nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aoc_migrate.operations.plan_words import change, words
from aoc_migrate.operations.step import Kind
from aoc_migrate.revisions.graph import history
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.test_evidence import runs


def planned(aoc: Aoc, *words: str) -> list[dict[str, Any]]:
    """Return the lines of a plan."""
    lines: list[dict[str, Any]] = aoc.json("plan", *words).report["facts"]["plan"]
    return lines


def named(statement: str) -> list[str]:
    """Return the objects that the name of a step in a report has, without their table."""
    parts = (part.partition(" ON ")[0] for part in statement.split("; "))
    return [name for part in parts for name in re.findall(r"(?:\w+, )*\w+$", part)[0].split(", ")]


def test_a_plan_changes_nothing(target_with_chain: Database, aoc: Aoc) -> None:
    """A plan leaves no trace in the database, not even our own tables."""
    before = fingerprint(target_with_chain.connection, without="^$")

    ran = aoc.json("plan", target_with_chain.target)

    assert ran.exit_code == 0
    assert fingerprint(target_with_chain.connection, without="^$") == before


def test_every_step_is_in_the_plan(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """What the plan lists is what an upgrade then runs, object by object, in this order."""
    listed = planned(aoc, target_with_chain.target)

    ran = aoc.json("upgrade", target_with_chain.target, **retrofit)

    run = [name for step in ran.report["steps"] for name in named(step["statement"])]
    strong = [line for line in listed if line["lock"] != "-"]
    assert [name for line in strong for name in line["objects"]] == run
    assert [line["statement"] for line in listed if line not in strong] == [
        "2 functions",
        "EXECUTE on 2 functions",
        f"FUNCTION {target_with_chain.table}_content_ok_v1",
        f"EXECUTE on FUNCTION {target_with_chain.table}_content_ok_v1",
    ]


def test_a_line_has_the_sql_that_runs(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """The SQL of each line is what an upgrade then runs, letter by letter; of a batch, only the size is open."""
    listed = planned(aoc, target_with_chain.target)

    assert aoc("upgrade", target_with_chain.target, "--evidence", str(tmp_path), **retrofit).exit_code == 0

    (written,) = (path.read_text(encoding="utf-8") for path in tmp_path.glob("*/*-upgrade.sql"))
    for statement in (statement for line in listed for statement in line["sql"]):
        assert re.search(re.escape(statement).replace(r"\$1", r"\d+"), written), statement
    assert {line["change"] for line in listed} == {"+", "~", "-"}
    assert all(line["sql"] and line["objects"] for line in listed)


def test_each_estimate_is_reported_with_the_actual_time(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Each step that reads or writes rows is estimated in the plan, and afterwards with the time that it took."""
    expected = [line["objects"] for line in planned(aoc) if line["estimated_ms"] is not None]

    run = aoc.json("upgrade", target_with_chain.target, **retrofit).report["steps"]

    assert expected == [named(s["statement"]) for s in run if "estimated_ms" in s]
    assert {s["statement"].split()[0] for s in run if "estimated_ms" in s} == {"VALIDATE", "CREATE", "link"}
    assert all("total_ms" in step for step in run if "estimated_ms" in step)


def test_a_table_without_rows_is_not_measured(excititor: Database, aoc: Aoc) -> None:
    """An empty table, never analyzed, has a plan without times."""
    aoc.configure(excititor)

    facts = aoc.json("plan").report["facts"]

    assert "time_estimated_seconds" not in facts
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


def test_a_downgrade_plans_only_what_it_restores(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The plan of a downgrade lists what the downgrade then runs, and restores nothing that was not there."""
    assert aoc("upgrade", target_with_chain.target, **retrofit).exit_code == 0
    listed = planned(aoc, target_with_chain.target, "base")

    ran = aoc.json("downgrade", target_with_chain.target, "base")

    run = [name for step in ran.report["steps"] for name in named(step["statement"])]
    assert sorted(name for line in listed for name in line["objects"]) == sorted(run)
    assert {line["change"] for line in listed} == {"~", "-"}
    (links,) = [line for line in listed if line["lock"] == "rows"]
    assert (links["reads"], links["size_bytes"]) == ("journal", 0)
    assert not [line for line in listed if line["statement"].startswith("NOT NULL NOT VALID again")]


def test_a_plan_for_base_at_base_is_empty(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """At base, a plan for base is empty, and an upgrade to base, with its evidence, has nothing to do."""
    aoc.configure(excititor)

    planned = aoc.json("plan", "excititor", "base")
    upgraded = aoc.json("upgrade", "excititor", "base", "--evidence", str(tmp_path))

    assert (planned.exit_code, planned.report["facts"]["plan"]) == (0, []), planned.err
    assert (upgraded.exit_code, upgraded.report["revision"]) == (0, None), upgraded.err
    assert [path.suffix for path in runs(tmp_path)] == [".html"]


def test_each_line_has_its_lock_and_what_it_reads(excititor: Database, aoc: Aoc) -> None:
    """Each line has its lock and what it reads; strong locks read nothing."""
    aoc.configure(excititor)

    lines = planned(aoc)

    assert {line["reads"] for line in lines if line["lock"] == "ACCESS EXCLUSIVE"} == {"-"}
    assert [(line["change"], line["statement"], line["reads"]) for line in lines if line["reads"] != "-"] == [
        ("~", "VALIDATE 3 CHECKs", "table"),
        ("+", "UNIQUE INDEX vex_raw_idempotency_v1", "table twice"),
        ("+", "INDEX vex_raw_chain_v1", "table twice"),
        ("~", "link rows of vex_raw", "table by key"),
        ("~", "VALIDATE CHECK vex_raw_content_v1", "documents"),
    ]


def test_every_kind_of_step_has_its_words() -> None:
    """A plan has words for every kind of Step: with one object it names it, with several it counts them."""
    assert all(change(kind) in "+~-" and "a_1" in words(kind, ("a_1",)) for kind in Kind)
    assert words(Kind.VALIDATE, ("a", "b")) == "VALIDATE 2 CHECKs"
    assert words(Kind.ATTACH_INDEX, ("a", "b")) == "ATTACH 2 indexes"
    assert words(Kind.STOCK, ()) == "statement"


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

    objects = [name for line in planned(aoc) for name in named(line["statement"])]
    for form in ("table", "markdown"):
        out = aoc("plan", "--format", form).out
        assert [name for name in objects if name not in out] == []
    assert json.loads(aoc("plan", "--format", "json").out)["command"] == "plan"
