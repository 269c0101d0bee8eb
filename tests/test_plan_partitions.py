"""The plan of a partitioned table: what is done on the table, and what on each partition."""

from pathlib import Path

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.table_size import table_size
from tests.conftest import Aoc, Database
from tests.partitions import partition


@pytest.fixture
def partitioned(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database with an empty raw table of two levels of partitions, configured."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    return excititor


def test_a_line_has_the_sql_that_runs(
    partitioned: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """The SQL of each line is what an upgrade then runs on the table and on each partition, letter by letter."""
    partitioned.run("CREATE INDEX theirs ON cold.vex_raw_b (tenant, source_vendor, upstream_id, retrieved_at, id)")
    lines = aoc.json("plan").report["facts"]["plan"]

    assert aoc("upgrade", "--evidence", str(tmp_path), **retrofit).exit_code == 0

    (written,) = (path.read_text(encoding="utf-8") for path in tmp_path.glob("*/*-upgrade.sql"))
    (link,) = [line for line in lines if line["lock"] == "rows"]
    assert link["sql"][0].partition("LIMIT $1")[0] in written
    for statement in (statement for line in lines if line is not link for statement in line["sql"]):
        assert statement in written
    built = [
        line["statement"]
        for line in lines
        if line["lock"] == "SHARE UPDATE EXCLUSIVE" and "INDEX" in line["statement"]
    ]
    assert built == [
        "UNIQUE INDEX vex_raw_idempotency_v1 on 4 partitions",
        "INDEX vex_raw_chain_v1 on 4 partitions",
    ]


def test_the_plan_counts_partitions(partitioned: Database, aoc: Aoc) -> None:
    """The plan counts partitions, sums up their sizes, and names no statement that PostgreSQL would refuse."""
    partitioned.add("1", tenant="a")
    partitioned.add("2", tenant="b")

    facts = aoc.json("plan").report["facts"]

    assert facts["partitions"] == 4
    assert facts["table_bytes"] == partitioned.value(
        "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('vex_raw')"
    )
    assert [(s["statement"], s["lock"]) for s in facts["plan"] if s["revision"] == "excititor_0005"] == [
        ("3 indexes ON ONLY", "SHARE"),
        ("INDEX vex_raw_chain_v1 on 4 partitions", "SHARE UPDATE EXCLUSIVE"),
        ("ATTACH 6 indexes", "ACCESS EXCLUSIVE"),
    ]


def test_each_estimate_has_its_actual_time(partitioned: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After the run, each step that the plan estimated shows its estimate with the time that it took."""
    partitioned.add("1", tenant="a")
    partitioned.add("2", tenant="a", retrieved_at="2025-02-01T00:00:00Z")
    planned = [s for s in aoc.json("plan").report["facts"]["plan"] if s["estimated_ms"] is not None]

    run = [s for s in aoc.json("upgrade", **retrofit).report["steps"] if "estimated_ms" in s]

    assert len(run) == len(planned) == 5
    assert all("total_ms" in step for step in run)


def test_the_way_back_has_no_sql_for_what_each_partition_decides(partitioned: Database, aoc: Aoc) -> None:
    """Which partitions lose NOT NULL is known when they are read, so the line of that has no SQL; others have."""
    assert aoc("upgrade").exit_code == 0

    lines = aoc.json("plan", "excititor", "base").report["facts"]["plan"]

    assert [line["sql"] for line in lines if "NOT NULL" in line["statement"]] == [[]]
    assert all(line["sql"] for line in lines if "NOT NULL" not in line["statement"])


def test_an_empty_partition_needs_no_statistics(partitioned: Database) -> None:
    """Of partitions that were never analyzed, those with rows are stale, and the empty ones are not."""
    partitioned.add("1", tenant="a")
    partitioned.run("ANALYZE vex_raw")
    partitioned.run("CREATE TABLE later PARTITION OF vex_raw FOR VALUES IN ('later')")
    with connect(Target("excititor", partitioned.url), "test", Limits(), Flags()) as session:
        before = table_size(session, "vex_raw")
        partitioned.add("2", tenant="later")
        after = table_size(session, "vex_raw")

    assert (before.stale, before.rows) == (0, 1)
    assert (after.stale, after.rows) == (1, None)
