"""Long reads: the lines that they log, the settings under which they run, and that those end with them."""

import pytest

from aoc_migrate.contract.v1 import ADVISORY_VIEW
from aoc_migrate.database import table_scan
from aoc_migrate.inspect.dependents import watch_writers
from tests.conftest import Database
from tests.helpers import fill, wait_until
from tests.test_scans import session_of


def test_progress_and_settings(excititor: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long read of a large table logs its time with an estimate; its settings end with it."""
    fill(excititor, 200)
    monkeypatch.setattr(table_scan, "SECONDS_BETWEEN_LINES", 0.02)
    monkeypatch.setattr(table_scan, "LARGE", 2)
    monkeypatch.setattr(table_scan, "SLICE", 2)
    said: list[str] = []
    work = "SELECT count(*), current_setting('jit') AS jit, current_setting('work_mem') AS memory"

    with session_of(excititor) as session:
        monkeypatch.setattr(session, "say", said.append)
        session.set("work_mem", "1MB")
        session.set("jit", "on")
        (row,) = table_scan.read(
            session, "vex_raw", "counting", lambda source: f"{work}, pg_sleep(0.2) FROM {source}"
        )
        after = session.row("SELECT current_setting('jit') AS jit, current_setting('work_mem') AS memory")
        session.set("work_mem", "256MB")
        (more,) = table_scan.read(session, "vex_raw", "counting", lambda source: f"{work} FROM {source}")

    assert (row["count"], row["jit"], row["memory"], more["memory"]) == (200, "off", "64MB", "256MB")
    assert after == {"jit": "on", "memory": "1MB"}
    assert said[0].startswith("counting … about ")
    assert any(line.startswith("counting: ") and " s of about " in line for line in said)


def test_a_small_table_is_not_estimated(excititor: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a small table, the log only says what is read."""
    said: list[str] = []

    with session_of(excititor) as session:
        monkeypatch.setattr(session, "say", said.append)
        table_scan.read(session, "vex_raw", "counting", lambda source: f"SELECT count(*) FROM {source}")

    assert said == ["counting …"]


def test_the_slice_of_the_largest_partition(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a partitioned table the slice is of the largest partition, whatever its name and place."""
    empty.run('CREATE SCHEMA "per%cent"; CREATE TABLE t (n int, wide text) PARTITION BY RANGE (n)')
    empty.run("CREATE TABLE small PARTITION OF t FOR VALUES FROM (0) TO (10)")
    empty.run('CREATE TABLE "per%cent"."la""rge" PARTITION OF t FOR VALUES FROM (10) TO (1000)')
    empty.run("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(0, 99) AS n")
    monkeypatch.setattr(table_scan, "LARGE", 10)
    monkeypatch.setattr(table_scan, "SLICE", 2)
    counted: list[str] = []

    def query(source: str) -> str:
        counted.append(source)
        return f"SELECT count(*) FROM {source} WHERE n >= %s"

    with session_of(empty) as session:
        (whole,) = table_scan.read(session, "t", "counting", query, (0,))
        slice_ = session.value(query(counted[0]), (0,))

    assert whole["count"] == 100
    assert 0 < slice_ < 20


def test_a_writer_that_came_and_went(concelier: Database) -> None:
    """A session that wrote to a table never written before is noticed once it has ended."""
    assert concelier.value("SELECT n_tup_ins FROM pg_stat_all_tables WHERE relname = 'advisory'") == 0

    with session_of(concelier) as session:
        ended = watch_writers(session, ADVISORY_VIEW)
        with session_of(concelier) as other:
            other.run("DELETE FROM public.advisory WHERE id IN (SELECT min(id) FROM public.advisory)")
            pid = other.value("SELECT pg_backend_pid()")
        wait_until(lambda: not concelier.rows("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]))

        assert [finding.slug for finding in ended()] == ["advisory-still-written"]
