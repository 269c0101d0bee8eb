"""Long reads: the lines that they log, the settings under which they run, and that those end with them."""

import re

import pytest

from aoc_migrate.contract.v1 import ADVISORY_VIEW
from aoc_migrate.database import log, table_scan
from aoc_migrate.inspect.dependents import watch_writers
from tests.conftest import Database
from tests.helpers import fill, wait_until
from tests.test_scans import session_of


def test_a_long_read_logs_its_time_and_restores_settings(
    excititor: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long read says how long it has been running; its settings end with it."""
    fill(excititor, 200)
    monkeypatch.setattr(log, "SECONDS_BETWEEN_LINES", 0.02)
    work = "SELECT count(*), current_setting('enable_sort') AS sort, current_setting('work_mem') AS memory"
    chosen = {"enable_sort": "off"}

    with session_of(excititor) as session:
        session.set("work_mem", "1MB")
        (row,) = table_scan.read(
            session, "counting", f"{work}, pg_sleep(0.2) FROM public.vex_raw", settings=chosen
        )
        after = session.row("SELECT current_setting('enable_sort') AS sort, current_setting('work_mem') AS memory")
        session.set("work_mem", "256MB")
        (more,) = table_scan.read(session, "counting", f"{work} FROM public.vex_raw")

    assert (row["count"], row["sort"], row["memory"], more["memory"]) == (200, "off", "64MB", "256MB")
    assert after == {"sort": "on", "memory": "1MB"}
    said = [re.sub(r"^\S+Z excititor: ", "", line) for line in capsys.readouterr().err.splitlines()]
    assert (said[0], said[-1]) == ("counting …", "counting …")
    assert any(re.fullmatch(r"counting: \d+ s", line) for line in said)


def test_a_writer_that_has_ended_is_noticed(concelier: Database) -> None:
    """A session that wrote to a table never written before is noticed once it has ended."""
    assert concelier.value("SELECT n_tup_ins FROM pg_stat_all_tables WHERE relname = 'advisory'") == 0

    with session_of(concelier) as session:
        ended = watch_writers(session, ADVISORY_VIEW)
        with session_of(concelier) as other:
            other.run("DELETE FROM public.advisory WHERE id IN (SELECT min(id) FROM public.advisory)")
            pid = other.value("SELECT pg_backend_pid()")
        wait_until(lambda: not concelier.rows("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]))

        assert [finding.slug for finding in ended()] == ["advisory-still-written"]
