"""Indexes of a partitioned table while others work: partitions come and go, somebody blocks, nobody waits long."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import wait_until
from tests.partitions import pairs, partition

INDEX = "vex_raw_idempotency_v1"
KEY = "(tenant, source_vendor, upstream_id, content_hash)"


@pytest.fixture
def partitioned_before_index(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database with a partitioned raw table, up to the revision before the first index."""
    partition(excititor.connection, "vex_raw")
    excititor.run("CREATE TABLE vex_raw_z PARTITION OF vex_raw FOR VALUES IN ('z')")
    excititor.add("1", tenant="a")
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor", "excititor_0003").exit_code == 0
    return excititor


def test_partitions_may_come_and_go_during_a_build(partitioned_before_index: Database, aoc: Aoc) -> None:
    """Partitions made or attached while we build are taken up, and one that is detached is left alone."""
    with psycopg.connect(partitioned_before_index.url) as older:
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT FROM pg_class")  # the build of each index waits for this snapshot
        process = aoc.start("upgrade", "excititor", "excititor_0004")
        wait_until(
            lambda: partitioned_before_index.value("SELECT count(*) FROM pg_stat_progress_create_index") == 1
        )
        partitioned_before_index.run("CREATE TABLE vex_raw_c PARTITION OF vex_raw FOR VALUES IN ('c')")
        partitioned_before_index.run("CREATE TABLE vex_raw_d (LIKE vex_raw INCLUDING ALL)")
        partitioned_before_index.run("DROP INDEX vex_raw_d_tenant_source_vendor_upstream_id_content_hash_idx")
        partitioned_before_index.run("ALTER TABLE vex_raw ATTACH PARTITION vex_raw_d FOR VALUES IN ('d')")
        partitioned_before_index.run("ALTER TABLE vex_raw DETACH PARTITION vex_raw_z")
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    found = pairs(partitioned_before_index.connection, INDEX)
    assert {"vex_raw_a", "vex_raw_c", "vex_raw_d"} <= set(found)
    assert None not in found.values()
    assert "vex_raw_z" not in found
    assert (
        partitioned_before_index.value("SELECT count(*) FROM pg_indexes WHERE tablename = 'vex_raw_z'") == 1
    )  # its primary key


def test_a_blocked_attachment_names_the_reader(partitioned_before_index: Database, aoc: Aoc) -> None:
    """A reader of a partition delays the attachment of its index; it is named, and nobody waits long."""
    partitioned_before_index.run(f"CREATE UNIQUE INDEX own ON vex_raw_a {KEY}")
    with psycopg.connect(partitioned_before_index.url, application_name="a report") as reader:
        reader.execute("SELECT FROM vex_raw_a")
        stopped = aoc.json("upgrade", "excititor", "excititor_0004", "--max-stall", "50ms", "--deadline", "1s")
    again = aoc("upgrade", "excititor", "excititor_0004")

    assert stopped.exit_code == 3, stopped.err
    assert "'a report'" in stopped.finding("deadline")["problem"]
    assert again.exit_code == 0
    assert pairs(partitioned_before_index.connection, INDEX)["vex_raw_a"] == "own"


def test_a_slow_change_soon_asks_for_more_time(partitioned_before_index: Database, aoc: Aoc) -> None:
    """An unblocked change that takes longer than --max-stall soon asks for more time."""
    partitioned_before_index.run(
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(9); END'; "
        "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slow()"
    )
    try:
        ran = aoc.json("downgrade", "excititor", "excititor_0001", "--max-stall", "50ms")
    finally:
        partitioned_before_index.run("DROP EVENT TRIGGER slow")

    assert ran.exit_code == 3
    assert "vex_raw could not be changed within" in ran.finding("deadline")["problem"]
    assert "(attempts: 5)" in ran.finding("deadline")["problem"]
    assert "the change itself" in ran.finding("deadline")["problem"]
    assert "--max-stall" in ran.finding("deadline")["help"]


def test_a_half_detached_partition_is_left_out(partitioned_before_index: Database, aoc: Aoc) -> None:
    """A partition whose DETACH CONCURRENTLY was interrupted is left out, and does not keep the index invalid."""
    partitioned_before_index.run(
        "DROP TABLE vex_raw_rest"
    )  # with a default partition PostgreSQL cannot detach concurrently
    with (
        psycopg.connect(partitioned_before_index.url) as reader,
        psycopg.connect(partitioned_before_index.url, autocommit=True) as other,
    ):
        reader.execute("SELECT FROM vex_raw")
        other.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("ALTER TABLE vex_raw DETACH PARTITION vex_raw_z CONCURRENTLY")

    ran = aoc("upgrade", "excititor", "excititor_0004")

    assert ran.exit_code == 0, ran.out
    assert "vex_raw_z" not in pairs(partitioned_before_index.connection, INDEX)
    partitioned_before_index.run("ALTER TABLE vex_raw DETACH PARTITION vex_raw_z FINALIZE")
    assert aoc("downgrade", "excititor", "excititor_0003").exit_code == 0
