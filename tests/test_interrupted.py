"""After a kill, a signal or a failure half way, the same command resumes."""

import os
import signal

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aoc_migrate.database.session import Session
from aoc_migrate.database.targets import Target
from aoc_migrate.report.model import Report
from aoc_migrate.run.target_run import Options, on_target
from tests.conftest import Aoc, Database, Ran
from tests.faults.proxy import Proxy, Then
from tests.fingerprint import fingerprint
from tests.helpers import PINNED, before_backfill, fill, psql, wait_until, wrong_links


def test_a_killed_backfill_goes_on(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After kill -9 in the backfill, the same command resumes and ends with every link right."""
    fill(excititor, 40_000)
    aoc.configure(excititor)
    process = aoc.spawn("upgrade", **retrofit)
    journal = "SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"
    wait_until(lambda: excititor.value(journal))
    wait_until(lambda: excititor.value("SELECT count(*) FROM aoc_supersedes_journal") >= 2)
    process.kill()
    process.communicate()
    written = excititor.value("SELECT count(supersedes) FROM vex_raw")
    assert 0 < written < 32_000, "the kill came too late to prove anything"

    ran = aoc.json("upgrade", **retrofit)

    assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0007")
    assert wrong_links(excititor) == 0
    assert excititor.value("SELECT sum(array_length(links, 1)) FROM aoc_supersedes_journal") == 31_999
    assert aoc("downgrade", "excititor_0005").exit_code == 0
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_a_killed_index_build_is_repaired(excititor: Database, aoc: Aoc) -> None:
    """A build that was waiting when its client died leaves nothing that the same command cannot repair."""
    fill(excititor, 1000)
    excititor.run("UPDATE vex_raw SET upstream_id = id")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    building = "SELECT pid FROM pg_stat_progress_create_index"
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset WHERE id = 'r1'")
        process = aoc.spawn("upgrade")
        wait_until(lambda: excititor.value(building) is not None)
        process.kill()
        process.communicate()
        excititor.run("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
    wait_until(lambda: excititor.value(building) is None)
    assert excititor.value(
        "SELECT count(*) FROM pg_index WHERE indexrelid = 'vex_raw_idempotency_v1'::regclass AND NOT indisvalid"
    )

    assert aoc("upgrade").exit_code == 0
    assert aoc("verify", "--probe").exit_code == 0


def test_sigterm_ends_a_build_on_the_server_too(excititor: Database, aoc: Aoc) -> None:
    """SIGTERM while a build waits ends with exit 143, and the server stops building."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    building = "SELECT pid FROM pg_stat_progress_create_index"
    with psycopg.connect(excititor.url) as writer:
        writer.execute(
            "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
            "source, upstream, linkset) VALUES ('a','a','a','a','a',now(),'{}','{}','{}')"
        )
        process = aoc.spawn("upgrade")
        wait_until(lambda: excititor.value(building) is not None)
        os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        wait_until(lambda: excititor.value(building) is None)

    assert process.returncode == 143
    assert "ended by SIGTERM" in err
    assert aoc("upgrade").exit_code == 0


def test_an_unfinished_downgrade_is_resumed(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """`downgrade -1` that was killed is resumed by the same command, and steps no further down."""
    fill(excititor, 40_000)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0006", **retrofit).exit_code == 0
    batches = excititor.value("SELECT count(*) FROM aoc_supersedes_journal")
    process = aoc.spawn("downgrade", "-1")
    wait_until(lambda: excititor.value("SELECT count(*) FROM aoc_supersedes_journal") < batches - 2)
    process.kill()
    process.communicate()
    assert "rollback-unfinished" in aoc.json("upgrade").slugs()

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0005")
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_a_downgrade_whose_report_was_lost_is_not_repeated(excititor: Database, aoc: Aoc) -> None:
    """`downgrade -1` whose report was never printed goes no further when typed again, and says that it ended."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    process = aoc.spawn("downgrade", "-1")
    assert process.stdout
    process.stdout.close()
    process.wait(timeout=60)
    process.stderr.close() if process.stderr else None

    again, once_more = aoc.json("downgrade", "-1"), aoc.json("downgrade", "-1")

    assert (again.exit_code, again.report["revision"]) == (0, "excititor_0006")
    assert "already-finished" in again.slugs()
    assert (once_more.exit_code, once_more.report["revision"]) == (0, "excititor_0005")
    assert "already-finished" not in once_more.slugs()


def test_a_cancelled_batch_is_not_tried_again(excititor: Database, aoc: Aoc) -> None:
    """A batch that somebody cancels is not tried again, however long it had run: exit 4, and the list is kept."""
    excititor.add("1", tenant=None)
    excititor.run(
        f"CREATE FUNCTION slow() {PINNED} "
        "'BEGIN PERFORM pg_sleep(30); RETURN OLD; END';"
        "CREATE TRIGGER slow BEFORE DELETE ON vex_raw FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    aoc.configure(excititor)
    words = ("--rule", "null-key", "--apply", "--accept", "move-trigger:slow", "--format", "json")
    process = aoc.spawn("repair", "excititor", *words)
    busy = (
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep' "
        "AND query_start < clock_timestamp() - interval '1.2 seconds'"
    )
    wait_until(lambda: excititor.value(f"SELECT count(*) {busy}") == 1)
    excititor.run(f"SELECT pg_cancel_backend(pid) {busy}")
    out, err = process.communicate(timeout=20)
    ran = Ran(process.returncode, out, err)

    assert (ran.exit_code, ran.slugs("error")) == (4, ["cancelled"])
    assert excititor.value("SELECT count(*) FROM aoc_work_list") == 1


@pytest.mark.alike
@pytest.mark.parametrize("way", ["downgrade", "script"])
def test_half_a_backfill_is_undone(way: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """A downgrade from below a backfill that ended half way takes back its links and leaves nothing of it."""
    before_backfill(excititor, aoc, retrofit)
    before = fingerprint(excititor.connection)
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw WHERE id = 'r399' FOR UPDATE")
        ended = aoc.json("upgrade", "excititor_0006", "--batch-rows", "50", "--deadline", "2s")
    assert (ended.exit_code, ended.report["revision"]) == (3, "excititor_0005")
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") > 0

    if way == "script":
        script = aoc("plan", "excititor", "excititor_0005:excititor_0004", "--sql").out
        ran = psql(excititor, script)
    else:
        ran = aoc("downgrade", "-1")

    assert ran.exit_code == 0, ran.err
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0
    assert aoc("upgrade", "excititor_0005", "--release-hold").exit_code == 0
    assert fingerprint(excititor.connection) == before
    assert excititor.value("SELECT count(*) FROM aoc_migration_state WHERE name = 'excititor_0006'") == 0


@pytest.mark.alike
@pytest.mark.parametrize("command", ["audit", "status", "verify"])
def test_a_connection_lost_at_the_very_end_is_a_finding(command: str, concelier: Database, aoc: Aoc) -> None:
    """Whichever of its last requests a command loses its connection before, it says so and what to type next."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    asked = 0

    def judge(_: str) -> Then:
        nonlocal asked
        asked += 1
        return Then.DROP if asked == last else Then.PASS

    info, last = concelier.connection.info, 0
    with Proxy(info.host, info.port, judge) as proxy:
        url = make_conninfo(concelier.url, host="127.0.0.1", port=proxy.port, sslmode="disable")
        through = {"CONCELIER_DATABASE_URL": url}
        assert aoc(command, **through).exit_code == 0
        for request in range(asked - 3, asked + 1):
            asked, last = 0, request
            ran = aoc.json(command, **through)
            assert ran.exit_code == 3, ran.out
            assert ran.slugs("error") == ["connection-lost"]


def test_a_connection_lost_before_a_revision_leaves_no_traceback(concelier: Database, aoc: Aoc) -> None:
    """A connection that is lost as Alembic's transaction begins ends in the finding alone, also on stderr."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    begun = False

    def judge(sql: str) -> Then:
        nonlocal begun
        lost, begun = begun, sql == "BEGIN" or (begun and "set_config" in sql)
        return Then.DROP if lost and "relkind" in sql else Then.PASS

    info = concelier.connection.info
    with Proxy(info.host, info.port, judge) as proxy:
        url = make_conninfo(concelier.url, host="127.0.0.1", port=proxy.port, sslmode="disable")
        ran = aoc.json("downgrade", "base", CONCELIER_DATABASE_URL=url)  # which fails on a traceback

    assert (ran.exit_code, ran.slugs("error")) == (3, ["connection-lost"])


def test_a_signal_is_no_failure_whatever_the_clean_up_meets(excititor: Database) -> None:
    """A run that a signal ends while it sends a statement has ended by the signal, and reports no verdict."""

    def sending(session: Session, _: Report) -> None:
        try:
            session.connection.pgconn.send_query(b"SELECT 1")
            raise SystemExit(128 + signal.SIGTERM)
        finally:
            session.run("SELECT 'the clean-up'")

    with pytest.raises(SystemExit, match="143"):
        on_target(Target("excititor", excititor.url), "upgrade", Options(), sending)
