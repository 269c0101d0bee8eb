"""Several runners, blockers and kills, with real processes."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import psycopg

from tests.conftest import Aoc, Database


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def fill(database: Database, rows: int) -> None:
    """Insert chains of five revisions each."""
    database.run(
        f"INSERT INTO {database.table} (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
        "source, upstream, linkset) SELECT 'r' || n, 'default', 'osv', 'CVE-' || n / 5, 'sha256:' || n, "
        "timestamptz '2025-01-01' + n * interval '1 second', '{}', '{}', '{}' "
        f"FROM generate_series(1, {rows}) AS n"
    )


def wrong_links(database: Database) -> int:
    """Count rows whose link is not the previous row of their document."""
    return int(
        database.value(
            "SELECT count(*) FROM (SELECT supersedes, lag(id) OVER (PARTITION BY upstream_id "
            "ORDER BY retrieved_at) AS expected "
            f"FROM {database.table}) s WHERE supersedes IS DISTINCT FROM expected"
        )
    )


def test_ten_at_once(excititor: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """Ten upgrades started at once: one works, the others wait or find nothing to do, all exit 0."""
    fill(excititor, 500)
    aoc.configure(excititor)

    processes = [aoc.start("upgrade", "--format", "json", **allowed) for _ in range(10)]
    outputs = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0] * 10, outputs
    changed = [out.count('"changed": true') for out, _ in outputs]
    assert sum(changed) == 1
    assert wrong_links(excititor) == 0


def test_waiters_name_the_holder(excititor: Database, aoc: Aoc) -> None:
    """A runner that cannot have the lock says who holds it, and gives up after --lock-wait with exit 3."""
    from aoc_migrate.database.lock import lock_key

    aoc.configure(excititor)
    excititor.run("SET application_name = 'somebody else'")
    excititor.run("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])

    ran = aoc.json("upgrade", "--lock-wait", "500ms")

    assert (ran.exit_code, ran.slugs()) == (3, ["lock-held"])
    assert "somebody else" in ran.finding("lock-held")["problem"]
    assert "waiting for another run" in ran.err


def test_at_head_no_lock_is_taken(excititor: Database, aoc: Aoc) -> None:
    """At head a plain upgrade ends at once, even while another session holds the lock."""
    from aoc_migrate.database.lock import lock_key

    aoc.configure(excititor)
    aoc("upgrade")
    excititor.run("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])

    assert aoc("upgrade", "--lock-wait", "500ms").exit_code == 0


def test_blocked_beyond_the_deadline(excititor: Database, aoc: Aoc) -> None:
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
    """While the upgrade tries behind a reader, no INSERT waits longer than a few times --max-stall."""
    aoc.configure(excititor)
    stop, longest = threading.Event(), [0.0]

    def write() -> None:
        with psycopg.connect(excititor.url, autocommit=True) as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.execute(
                    "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
                    "source, upstream, linkset) SELECT x, 't', 'v', x, x, now(), '{}', '{}', '{}' "
                    "FROM (SELECT gen_random_uuid()::text AS x) s"
                )
                longest[0] = max(longest[0], time.monotonic() - begun)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with psycopg.connect(excititor.url) as blocker:
            blocker.execute("SELECT count(*) FROM vex_raw")
            process = aoc.start("upgrade", "--max-stall", "100ms")
            time.sleep(4)
            assert process.poll() is None, "the reader should still block it"
        process.communicate(timeout=60)
    finally:
        stop.set()
        writer.join()

    assert process.returncode == 0
    assert longest[0] < 2, "a queue without a bound would have lasted as long as the reader: 4 s"


def test_kill_in_the_backfill(excititor: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """kill -9 in the middle of the backfill: the same command again goes on and ends with every link right."""
    fill(excititor, 40_000)
    aoc.configure(excititor)
    process = aoc.start("upgrade", **allowed)
    journal = "SELECT to_regclass('aoc_supersedes_journal') IS NOT NULL"
    wait_until(lambda: excititor.value(journal))
    wait_until(lambda: excititor.value("SELECT count(*) FROM aoc_supersedes_journal") >= 2)
    process.kill()
    process.communicate()
    written = excititor.value("SELECT count(supersedes) FROM vex_raw")
    assert 0 < written < 32_000, "the kill came too late to prove anything"

    ran = aoc.json("upgrade", **allowed)

    assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0007")
    assert wrong_links(excititor) == 0
    assert excititor.value("SELECT sum(cardinality(ids)) FROM aoc_supersedes_journal") == 31_999
    assert aoc("downgrade", "excititor_0005").exit_code == 0
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_kill_in_the_index_build(excititor: Database, aoc: Aoc) -> None:
    """A build that was waiting when its client died leaves nothing that the same command cannot mend."""
    fill(excititor, 1000)
    excititor.run("UPDATE vex_raw SET upstream_id = id")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    building = "SELECT pid FROM pg_stat_progress_create_index"
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset WHERE id = 'r1'")
        process = aoc.start("upgrade")
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


def test_index_build_behind_a_writer_has_a_deadline(excititor: Database, aoc: Aoc) -> None:
    """A build that waits for a writer beyond --deadline is cancelled (exit 3); later the same command mends it."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url, application_name="open writer") as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        ran = aoc.json("upgrade", "--deadline", "2s")

    assert (ran.exit_code, ran.slugs()) == (3, ["deadline"])
    assert "open writer" in ran.finding("deadline")["problem"]
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0


def test_sigterm(excititor: Database, aoc: Aoc) -> None:
    """SIGTERM while a build waits ends with exit 143, and the server stops building."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    building = "SELECT pid FROM pg_stat_progress_create_index"
    with psycopg.connect(excititor.url) as writer:
        writer.execute(
            "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, "
            "source, upstream, linkset) VALUES ('a','a','a','a','a',now(),'{}','{}','{}')"
        )
        process = aoc.start("upgrade")
        wait_until(lambda: excititor.value(building) is not None)
        os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        wait_until(lambda: excititor.value(building) is None, 5)

    assert process.returncode == 143
    assert "ended by SIGTERM" in err
    assert aoc("upgrade").exit_code == 0


def test_unfinished_downgrade_is_resumed(excititor: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """`downgrade -1` that was killed is resumed by the same command, and steps no further down."""
    fill(excititor, 40_000)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0006", **allowed).exit_code == 0
    batches = excititor.value("SELECT count(*) FROM aoc_supersedes_journal")
    process = aoc.start("downgrade", "-1")
    wait_until(lambda: excititor.value("SELECT count(*) FROM aoc_supersedes_journal") < batches - 2)
    process.kill()
    process.communicate()
    assert "unfinished" in aoc.json("upgrade").slugs()

    ran = aoc.json("downgrade", "-1")

    assert (ran.exit_code, ran.report["revision"]) == (0, "excititor_0005")
    assert excititor.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_stock_alembic_waits_for_the_same_lock(excititor: Database, aoc: Aoc) -> None:
    """Stock Alembic takes the lock that the wrapper takes."""
    import sys

    from aoc_migrate.database.lock import lock_key
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
    time.sleep(2)
    assert process.poll() is None
    assert excititor.value("SELECT to_regclass('aoc_migration_state')") is None

    excititor.run("SELECT pg_advisory_unlock_all()")

    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert aoc("verify").exit_code == 0
