"""`wait`: until the database answers and is at head."""

import re
import socket

import psycopg

from tests.conftest import Aoc, Database, Ran
from tests.helpers import wait_until


def test_wait_ends_at_once_at_head(excititor: Database, aoc: Aoc) -> None:
    """At head it ends at once with exit 0."""
    aoc.configure(excititor)
    aoc("upgrade")

    assert aoc.json("wait", "--timeout", "1ms").exit_code == 0


def test_wait_gives_up_before_head(excititor: Database, aoc: Aoc) -> None:
    """It gives up with exit 3, and says which revision it found, what it waits for, and that nobody runs it."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")

    ran = aoc.json("wait", "--timeout", "100ms")

    assert (ran.exit_code, ran.slugs()) == (3, ["not-ready"])
    problem = ran.finding("not-ready")["problem"]
    assert "at excititor_0003, waiting for excititor_0004 (Idempotency index" in problem
    assert "no run is in progress" in problem


def test_wait_names_who_is_at_work_and_sees_the_end(excititor: Database, aoc: Aoc) -> None:
    """While an upgrade runs, it names pod, command and step; when that is done, it ends with exit 0."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0003")
    with psycopg.connect(excititor.url) as writer:
        writer.execute("UPDATE vex_raw SET linkset = linkset")
        upgrade = aoc.start("upgrade", HOSTNAME="pod-7")
        wait_until(lambda: bool(excititor.value("SELECT count(*) FROM pg_stat_progress_create_index")))
        stuck = aoc("wait", "--timeout", "2s")
        waiting = aoc.start("wait", "--timeout", "1m", "--format", "json")
    upgrade.communicate(timeout=60)
    waiting.communicate(timeout=60)

    assert stuck.exit_code == 3
    assert "aoc-migrate upgrade @pod-7: CREATE UNIQUE INDEX" in stuck.err
    assert (upgrade.returncode, waiting.returncode) == (0, 0)


def test_an_unreachable_database_is_waited_for(empty_database: Database, aoc: Aoc) -> None:
    """A database that cannot be reached is waited for; one that is empty as well."""
    aoc.environment["CONCELIER_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    gone = aoc.json("wait", "--timeout", "100ms")
    aoc.configure(empty_database)
    bare = aoc.json("wait", "--timeout", "100ms")

    assert [gone.slugs(), bare.slugs()] == [["not-ready"], ["not-ready"]]
    assert "Cannot connect to concelier" in gone.finding("not-ready")["problem"]
    assert "at base, waiting for concelier_0001" in bare.finding("not-ready")["problem"]


def test_a_locked_version_table_is_waited_for_no_longer_than_asked(excititor: Database, aoc: Aoc) -> None:
    """While another session locks the version table, it gives up at its timeout; once that is free, it ends."""
    aoc.configure(excititor)
    aoc("upgrade")
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE aoc_alembic_version IN ACCESS EXCLUSIVE MODE")
        short = aoc.start("wait", "--timeout", "300ms", "--format", "json")
        stuck = Ran(0, *short.communicate(timeout=30))
        long = aoc.start("wait", "--timeout", "1m")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'aoc_alembic_version'::regclass"
        wait_until(lambda: excititor.value(waits) == 1)
    long.communicate(timeout=60)

    assert (short.returncode, stuck.slugs(), long.returncode) == (3, ["not-ready"], 0)
    assert "lock timeout" in stuck.finding("not-ready")["problem"]


def test_a_held_database_is_accepted(excititor: Database, aoc: Aoc) -> None:
    """If a rollback holds the database, services may start: exit 0, and the report shows the hold."""
    aoc.configure(excititor)
    aoc("upgrade")
    aoc("downgrade", "-1")

    ran = aoc.json("wait", "--timeout", "100ms")

    assert (ran.exit_code, ran.slugs()) == (0, ["held"])


def test_an_unfinished_rollback_is_named(excititor: Database, aoc: Aoc) -> None:
    """A rollback that has not finished is no end of the wait, and the command that finishes it is named."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    assert aoc("downgrade", "-1").exit_code == 0
    excititor.run("UPDATE aoc_migration_hold SET finished = false")

    ran = aoc("wait", "--timeout", "1s")

    assert ran.exit_code == 3
    assert "the rollback downgrade -1 has not finished: run it again" in " ".join(ran.out.split())


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_asked(aoc: Aoc) -> None:
    """A server that takes the connection and says nothing keeps it no longer than its timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        aoc.environment["CONCELIER_DATABASE_URL"] = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"

        ran = aoc.json("wait", "--timeout", "2s")

    assert ran.exit_code == 3
    assert not re.search(r"after 1\d s", ran.finding("not-ready")["problem"])


def test_a_removal_at_head_is_seen(excititor: Database, aoc: Aoc) -> None:
    """At head too, constraints that are being removed are waited for; once they are gone, the hold is shown."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    with psycopg.connect(excititor.url) as reader:
        reader.execute("SELECT FROM vex_raw")
        assert aoc("constraints", "--remove", "--deadline", "1s", AOC_GUARD_ENABLED="false").exit_code == 3
        under_way = aoc("wait", "--timeout", "100ms")
    assert aoc("constraints", "--remove", AOC_GUARD_ENABLED="false").exit_code == 0
    removed = aoc.json("wait", "--timeout", "100ms")

    assert under_way.exit_code == 3
    assert "the rollback constraints --remove has not finished: run it again" in " ".join(under_way.out.split())
    assert (removed.exit_code, removed.slugs()) == (0, ["held"])


def test_select_on_the_version_table_is_enough(excititor: Database, aoc: Aoc) -> None:
    """SELECT on the version table is enough, but shows no hold; without it, the error says which GRANT helps."""
    aoc.configure(excititor)
    aoc("upgrade", "excititor_0006")
    excititor.run('DROP ROLE IF EXISTS "a waiter"; CREATE ROLE "a waiter" LOGIN PASSWORD \'w\'')
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as("a waiter", "w")
    without = aoc.json("wait", "--timeout", "10s")
    excititor.run('GRANT SELECT ON aoc_alembic_version TO "a waiter"')
    behind = aoc.json("wait", "--timeout", "100ms")
    excititor.run('GRANT SELECT ON aoc_migration_hold TO "a waiter"')
    seeing = aoc.json("wait", "--timeout", "100ms")
    excititor.run("UPDATE aoc_alembic_version SET version_num = 'excititor_0007'")

    assert (without.exit_code, without.slugs()) == (1, ["privileges"])
    help_ = without.finding("privileges")["help"]
    assert 'GRANT SELECT ON "public"."aoc_alembic_version" TO "a waiter";' in help_
    assert (behind.slugs(), seeing.slugs()) == (["not-ready"], ["not-ready"])
    unseen = 'cannot see holds (run: GRANT SELECT ON "public"."aoc_migration_hold" TO "a waiter";'
    assert unseen in behind.finding("not-ready")["problem"]
    assert unseen not in seeing.finding("not-ready")["problem"]
    assert aoc("wait", "--timeout", "100ms").exit_code == 0
