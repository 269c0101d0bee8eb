"""The backfill pauses while a vacuum is at work on its table, for a limited time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.old_transactions import old_transactions
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.throttle.signal import Normal, Stop, Verdict, WritingStep
from aoc_migrate.database.throttle.vacuum import Vacuum
from tests.conftest import Aoc, Database
from tests.helpers import backfill, before_backfill, fill, wait_until, wrong_links
from tests.servers import running_server

SLOW = "SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1"
PROGRESS = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = %s::regclass"


@contextmanager
def slow_vacuum(database: Database, table: str) -> Iterator[int]:
    """Vacuum a table slowly, from a session of its own, whose pid is yielded; it is canceled at the end."""
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute(SLOW)

        def vacuum() -> None:
            with suppress(psycopg.errors.QueryCanceled):
                other.execute(f"VACUUM {table}".encode())

        thread = threading.Thread(target=vacuum)
        thread.start()
        try:
            wait_until(lambda: database.value(PROGRESS, [table]) == 1)
            yield other.info.backend_pid
        finally:
            other.cancel_safe()
            thread.join()


@contextmanager
def session_on(database: Database, url: str = "") -> Iterator[Session]:
    """Open a session of ours."""
    with connect(Target("excititor", url or database.url), "test", Limits(), Flags()) as session:
        yield session


def verdict(database: Database, url: str = "") -> Verdict:
    """Return what the signal says now."""
    with session_on(database, url) as session:
        return Vacuum(WritingStep(session, "link rows", "vex_raw", 1.0)).evaluate()


def test_autovacuum_is_waited_for_but_not_for_ever(
    aoc: Aoc, retrofit: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The backfill waits for a real autovacuum for a limited time, then goes on, and the report warns."""
    with running_server() as server, psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("CREATE DATABASE excititor")
        with psycopg.connect(server.url("excititor"), autocommit=True) as connection:
            database = Database(connection, "vex_raw", "excititor")
            aoc.environment |= retrofit | {"EXCITITOR_DATABASE_URL": server.url("excititor")}
            assert aoc("upgrade", "excititor_0001").exit_code == 0
            database.run(
                "ALTER TABLE vex_raw SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, "
                "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
            )
            fill(database, 2000)
            assert aoc("upgrade", "excititor_0005").exit_code == 0
            database.run("UPDATE vex_raw SET linkset = linkset")
            wait_until(lambda: database.value(PROGRESS, ["vex_raw"]) == 1)
            report = backfill(database, server.url("excititor"), vacuum_wait=1.5)
            wrong = wrong_links(database)

    (warning,) = [f for f in report.findings if f.slug == "vacuum-running"]
    (done,) = report.steps
    log = capsys.readouterr().err
    assert (report.exit_code, warning.severity, warning.subject, wrong) == (0, "warning", "vex_raw", 0)
    assert "(autovacuum of vex_raw (pid " in warning.problem
    assert list(done.pauses or {}) == ["vacuum"]
    assert (done.pauses or {})["vacuum"] >= 1500
    assert "pausing because a vacuum is at work: autovacuum of vex_raw (pid " in log
    assert log.count("link rows of vex_raw: going on although a vacuum is at work: autovacuum of vex_raw") == 1


def test_a_vacuum_that_ends_leaves_no_warning(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A VACUUM that somebody runs is waited for too; once it ends, the backfill goes on without a warning."""
    fill(excititor, 2000)
    excititor.run("UPDATE vex_raw SET id = 'older ' || id, upstream_id = 'older ' || upstream_id")
    before_backfill(excititor, aoc, retrofit)
    with slow_vacuum(excititor, "vex_raw") as pid:
        process = aoc.start("upgrade", "excititor_0006", "--batch-rows", "100", "--format", "json")
        assert process.stderr is not None
        line = f"pausing because a vacuum is at work: VACUUM of vex_raw (pid {pid})"
        assert any(line in words for words in iter(process.stderr.readline, ""))
    out, _ = process.communicate(timeout=60)

    assert (process.returncode, "vacuum-running" in out, wrong_links(excititor)) == (0, False, 0)
    assert '"vacuum": ' in out[out.index('"pauses"') :]


def test_partitions_and_toast_tables_count(excititor: Database) -> None:
    """The vacuum of a partition or of a TOAST table counts, by the name of its table; that of others does not."""
    excititor.run(
        "ALTER TABLE vex_raw RENAME TO other; CREATE TABLE vex_raw (LIKE other) PARTITION BY LIST (tenant);"
        "CREATE TABLE vex_raw_default PARTITION OF vex_raw DEFAULT; ALTER TABLE vex_raw ALTER content SET STORAGE "
        "EXTERNAL; ALTER TABLE vex_raw_default ALTER content SET STORAGE EXTERNAL"
    )
    fill(excititor, 2000)
    excititor.run("UPDATE vex_raw SET content = jsonb_build_object('raw', repeat('x', 20000)) WHERE id < 'r2'")
    excititor.run("INSERT INTO other SELECT * FROM vex_raw")
    toast = "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'vex_raw_default'::regclass"
    with slow_vacuum(excititor, "vex_raw_default") as pid:
        of_partition = verdict(excititor)
    with slow_vacuum(excititor, excititor.value(toast)) as toast_pid:
        of_toast = verdict(excititor)
    with slow_vacuum(excititor, "other"):
        of_others = verdict(excititor)

    assert of_partition == Stop(f"a vacuum is at work: VACUUM of vex_raw_default (pid {pid})")
    assert of_toast == Stop(f"a vacuum is at work: VACUUM of the TOAST table of vex_raw_default (pid {toast_pid})")
    assert of_others == Normal()


def test_a_role_that_sees_little_does_not_wait(excititor: Database) -> None:
    """A role without pg_read_all_stats does not see what is vacuumed: no pause, and no error."""
    fill(excititor, 2000)
    role = f"blind_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; ALTER TABLE vex_raw OWNER TO {role}")
    with slow_vacuum(excititor, "vex_raw"):
        assert verdict(excititor, excititor.url_as(role, "p")) == Normal()


def test_a_vacuum_is_no_old_snapshot(excititor: Database) -> None:
    """A VACUUM holds a snapshot that keeps no dead row, and that no index build waits for: it is not named."""
    fill(excititor, 2000)
    holds = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND backend_xmin IS NOT NULL"
    with slow_vacuum(excititor, "vex_raw") as pid, session_on(excititor) as session:
        assert excititor.value(holds, [pid]) == 1
        assert old_transactions(session, 0) == []
