"""Several runners, blockers and kills, with real processes."""

import subprocess
import threading
from collections.abc import Callable

import psycopg

from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.run import hold
from tests.conftest import Aoc, Database
from tests.helpers import fill, wait_until, wrong_links
from tests.test_scans import session_of


def ten_upgrades(aoc: Aoc, more: dict[str, str], between: Callable[[], object] = lambda: None) -> int:
    """Start ten upgrades at once, which must all exit 0; return how many changed something."""
    processes = [aoc.start("upgrade", "--format", "json", **more) for _ in range(10)]
    between()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 10, outputs
    return sum(out.count('"changed": true') for out, _ in outputs)


def test_one_of_ten_upgrades_works(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Ten upgrades started at once: one works, the others wait or find nothing to do, all exit 0."""
    fill(excititor, 500)
    aoc.configure(excititor)

    assert ten_upgrades(aoc, retrofit) == 1
    assert wrong_links(excititor) == 0


def test_one_of_ten_upgrades_works_on_a_fresh_database(empty_database: Database, aoc: Aoc) -> None:
    """The same on a database without any table."""
    aoc.configure(empty_database)

    assert ten_upgrades(aoc, {}) == 1
    assert aoc("verify").exit_code == 0


def test_ten_upgrades_wait_for_an_orphaned_build(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """The same while the server still builds the index for a runner that was killed."""
    fill(excititor, 500)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        killed = aoc.start("upgrade", **retrofit)
        wait_until(lambda: bool(excititor.value("SELECT count(*) FROM pg_stat_progress_create_index")))
        killed.kill()
        killed.communicate()

        assert ten_upgrades(aoc, retrofit, writer.commit) == 1
    assert aoc("verify").exit_code == 0


def test_waiters_name_the_holder(excititor: Database, aoc: Aoc) -> None:
    """A runner that cannot get the lock says who holds it, and gives up after --lock-wait with exit 3."""
    from aoc_migrate.database.runner_lock import lock_key

    aoc.configure(excititor)
    excititor.run("SET application_name = 'somebody else'")
    excititor.run("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])

    ran = aoc.json("upgrade", "--lock-wait", "500ms")

    assert (ran.exit_code, ran.slugs()) == (3, ["lock-held"])
    assert "somebody else" in ran.finding("lock-held")["problem"]
    assert "waiting for another run" in ran.err


def test_at_head_no_lock_is_taken(excititor: Database, aoc: Aoc) -> None:
    """At head a plain upgrade ends at once, even while another session holds the lock."""
    from aoc_migrate.database.runner_lock import lock_key

    aoc.configure(excititor)
    aoc("upgrade")
    excititor.run("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])

    assert aoc("upgrade", "--lock-wait", "500ms").exit_code == 0


def test_a_blocked_upgrade_gives_up_at_the_deadline(excititor: Database, aoc: Aoc) -> None:
    """Behind a long transaction the upgrade gives up with exit 3, the blocker named, nothing changed."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url, application_name="a long report") as blocker:
        blocker.execute("SELECT count(*) FROM vex_raw")
        pid = blocker.info.backend_pid

        ran = aoc.json("upgrade", "--max-stall", "50ms", "--deadline", "2s")

    assert (ran.exit_code, ran.slugs()) == (3, ["deadline"])
    problem = ran.finding("deadline")["problem"]
    assert str(pid) in problem
    assert "a long report" in problem
    assert f"pg_terminate_backend({pid})" in ran.finding("deadline")["help"]
    assert aoc("upgrade").exit_code == 0


def test_writers_wait_no_longer_than_max_stall(excititor: Database, aoc: Aoc) -> None:
    """While the upgrade tries behind a reader, no INSERT fails to get its lock within seconds."""
    aoc.configure(excititor)
    stop, written, failed = threading.Event(), 0, ""

    def write() -> None:
        nonlocal written, failed
        with psycopg.connect(excititor.url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '5s'")  # then the reader is let go, and the test fails
            while not (stop.is_set() or failed):
                try:
                    connection.execute(
                        "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
                        "source, upstream, linkset) SELECT x, 't', 'v', x, x, now(), '{}', '{}', '{}' "
                        "FROM (SELECT gen_random_uuid()::text AS x) s"
                    )
                    written += 1
                except psycopg.Error as error:
                    failed = str(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with psycopg.connect(excititor.url) as blocker:
            blocker.execute("SELECT count(*) FROM vex_raw")
            process = aoc.start("upgrade", "--max-stall", "100ms")
            gave_up = (line for line in iter(process.stderr.readline, "") if "gave up" in line)
            assert [next(gave_up, None) is not None for _ in range(2)] == [True] * 2
            before = written
            wait_until(lambda: written > before or bool(failed))
        process.communicate(timeout=60)
    finally:
        stop.set()
        writer.join()

    assert (process.returncode, failed) == (0, "")


def test_index_build_behind_a_writer_has_a_deadline(excititor: Database, aoc: Aoc) -> None:
    """A build that waits for a writer beyond --deadline is cancelled (exit 3); running it again repairs it."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url, application_name="open writer") as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        ran = aoc.json("upgrade", "--deadline", "2s")

    assert (ran.exit_code, ran.slugs()) == (3, ["deadline"])
    found = ran.finding("deadline")
    assert found["subject"] == "vex_raw_idempotency_v1"
    assert "within 2 s (attempts: 1)" in found["problem"]
    assert "open writer" in found["problem"]
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0


def test_stock_alembic_waits_for_the_same_lock(excititor: Database, aoc: Aoc) -> None:
    """Stock Alembic takes the lock that the wrapper takes."""
    import sys

    from aoc_migrate.database.runner_lock import lock_key
    from tests.conftest import ROOT

    aoc.configure(excititor)
    excititor.run("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", "head"],
        cwd=ROOT,
        env=aoc.env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("waiting for another run" in line for line in iter(process.stderr.readline, ""))
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None

    excititor.run("SELECT pg_advisory_unlock_all()")

    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert aoc("verify").exit_code == 0


def test_chain_checks_again_under_the_lock(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """`chain --apply` that waited behind a downgrade of the backfill, or finds one unfinished, links nothing."""
    fill(excititor, 5)
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    key = lock_key("excititor", "public")
    excititor.run("SELECT pg_advisory_lock(%s::bigint)", [key])
    process = aoc.start("chain", "--apply", **retrofit)
    wait_until(lambda: "waiting for another run" in process.stderr.readline())
    for change in (
        "UPDATE vex_raw SET supersedes = NULL",
        "DROP TABLE aoc_supersedes_journal",
        "UPDATE aoc_alembic_version SET version_num = 'excititor_0005'",
    ):
        excititor.run(change)
    excititor.run("SELECT pg_advisory_unlock(%s::bigint)", [key])
    err = process.communicate()[1]

    assert (process.returncode, "has no chain yet" in err) == (2, True)
    excititor.run("UPDATE aoc_alembic_version SET version_num = 'excititor_0006'")
    with session_of(excititor) as session:
        hold.begin(session, "downgrade base", None)
    ran = aoc.json("chain", "--apply", **retrofit)
    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (1, ["rollback-unfinished"], False)
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0
    assert excititor.value("SELECT to_regclass('aoc_supersedes_journal')") is None
