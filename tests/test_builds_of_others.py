"""An INVALID index is dropped only once nobody can be building it, whatever this role may see of others."""

from collections.abc import Iterator

import psycopg
import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.errors import Abort
from aoc_migrate.operations.build import build
from aoc_migrate.operations.step import Kind, Lock, Step
from tests.builds import BUILD, INDEX, autovacuum, held, leave_invalid, lonely, oid, valid
from tests.conftest import Aoc, Database
from tests.forks import Process

TO_INDEX = ("upgrade", "excititor_0004")


@pytest.fixture
def excititor_before_index(excititor: Database, aoc: Aoc) -> Iterator[Database]:
    """Excititor's database before the first index; its owner migrates, and sees nobody else's sessions."""
    with lonely(excititor) as role:
        excititor.add("1")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "p")
        assert aoc("upgrade", "excititor_0003").exit_code == 0
        yield excititor


def until_it_waits(process: Process, pid: int) -> None:
    """Read the log until it names who is waited for, or fail."""
    assert process.stderr is not None
    for line in process.stderr:
        if f"pid {pid} " in line:
            return
    pytest.fail("it ended without waiting")


def test_a_build_is_waited_for_and_kept(excititor_before_index: Database, aoc: Aoc) -> None:
    """Another session's build of our index is waited for; once valid it is taken, not dropped."""
    with held(excititor_before_index) as (pid, let_go):
        theirs = oid(excititor_before_index)
        process = aoc.start(*TO_INDEX)
        until_it_waits(process, pid)
        let_go()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    assert (oid(excititor_before_index), valid(excititor_before_index)) == (theirs, True)


def test_the_deadline_names_the_builder(excititor_before_index: Database, aoc: Aoc) -> None:
    """A build that outlasts --deadline means exit 3 with its pid and what it waits for; it goes on."""
    with held(excititor_before_index) as (pid, _):
        theirs, [old] = (
            oid(excititor_before_index),
            excititor_before_index.value("SELECT pg_blocking_pids(%s)", [pid]),
        )
        ran = aoc.json(*TO_INDEX, "--deadline", "2s")
        after = (oid(excititor_before_index), valid(excititor_before_index))

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"])
    assert f"pid {pid} (sandbox, " in ran.finding("deadline")["problem"]
    assert f"Ahead of that one: pid {old} (sandbox, " in ran.finding("deadline")["problem"]
    assert f"pg_terminate_backend({old})" in ran.finding("deadline")["help"]
    assert after == (theirs, False)
    assert (oid(excititor_before_index), valid(excititor_before_index)) == (theirs, True)
    assert aoc(*TO_INDEX).exit_code == 0
    assert oid(excititor_before_index) == theirs


def test_a_leftover_is_replaced(excititor_before_index: Database, aoc: Aoc) -> None:
    """An INVALID index of a build that ended is dropped and built again; a downgrade drops the new one."""
    leave_invalid(excititor_before_index)
    theirs = oid(excititor_before_index)

    assert aoc(*TO_INDEX).exit_code == 0
    assert valid(excititor_before_index) is True
    assert oid(excititor_before_index) != theirs
    assert aoc("downgrade", "excititor", "-1").exit_code == 0
    assert oid(excititor_before_index) is None


def test_any_holder_of_the_weak_lock_is_waited_for(excititor_before_index: Database, aoc: Aoc) -> None:
    """Any other holder of the weak lock, such as ANALYZE, is waited for; then the leftover is replaced."""
    leave_invalid(excititor_before_index)
    with psycopg.connect(excititor_before_index.url) as other:
        other.execute("LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE")
        process = aoc.start(*TO_INDEX)
        until_it_waits(process, other.info.backend_pid)
        other.rollback()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    assert valid(excititor_before_index) is True


def test_an_autovacuum_yields(excititor_before_index: Database, aoc: Aoc) -> None:
    """An autovacuum that would hold the lock for minutes yields, and the leftover is replaced."""
    leave_invalid(excititor_before_index)

    with autovacuum(excititor_before_index):
        ran = aoc.json(*TO_INDEX, "--deadline", "30s")

    assert ran.exit_code == 0, ran.err
    assert valid(excititor_before_index) is True


def test_a_downgrade_waits_too(excititor_before_index: Database, aoc: Aoc) -> None:
    """Before an index is dropped, somebody else's rebuild of it ends: there is no deadlock."""
    assert aoc(*TO_INDEX).exit_code == 0
    with held(excititor_before_index, f"REINDEX INDEX CONCURRENTLY {INDEX}") as (pid, let_go):
        process = aoc.start("downgrade", "excititor_0003")
        until_it_waits(process, pid)
        let_go()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    assert oid(excititor_before_index) is None


def failing_build(database: Database) -> Abort:
    """Run our own build of the index, whose name is taken by the time that it has the lock."""
    with (
        connect(Target("excititor", database.url), "test", Limits(), Flags()) as session,
        runner_lock(session),
        pytest.raises(Abort) as stopped,
    ):
        raw, lock = session.schema["vex_raw"], Lock.SHARE_UPDATE_EXCLUSIVE
        build(session, Step(Kind.BUILD_UNIQUE_INDEX, raw, (INDEX,), lock, (BUILD,)))
    return stopped.value


def test_a_failed_build_spares_what_became_valid(excititor_before_index: Database) -> None:
    """If our CREATE fails because another index of that name has become valid, that one is left alone."""
    excititor_before_index.run(BUILD)
    theirs = oid(excititor_before_index)

    stopped = failing_build(excititor_before_index)

    assert "already exists" in stopped.finding.problem
    assert (oid(excititor_before_index), valid(excititor_before_index)) == (theirs, True)


def test_a_failed_build_spares_another_tables_index(excititor_before_index: Database) -> None:
    """An INVALID index of that name on another table is not dropped."""
    excititor_before_index.run("CREATE TABLE others (tenant int)")
    leave_invalid(excititor_before_index, f"CREATE INDEX CONCURRENTLY {INDEX} ON others (tenant)")
    theirs = oid(excititor_before_index)

    stopped = failing_build(excititor_before_index)

    assert "already exists" in stopped.finding.problem
    assert (oid(excititor_before_index), valid(excititor_before_index)) == (theirs, False)


def test_a_failed_build_drops_its_own_index(excititor_before_index: Database) -> None:
    """What our own build leaves when it fails is dropped at once."""
    excititor_before_index.run(
        'INSERT INTO vex_raw SELECT (jsonb_populate_record(v, \'{"id": "2"}\')).* FROM vex_raw v'
    )

    stopped = failing_build(excititor_before_index)

    assert "could not create unique index" in stopped.finding.problem
    assert oid(excititor_before_index) is None
