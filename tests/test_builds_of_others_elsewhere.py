"""The same on partitions, and in what is printed for psql: no INVALID index of a running build is dropped."""

import threading
from collections.abc import Iterator

import pytest

from tests.builds import BUILD, COLUMNS, INDEX, autovacuum, held, leave_invalid, lonely, oid, valid
from tests.conftest import Aoc, Database, Ran
from tests.helpers import psql, wait_until
from tests.partitions import pairs, partition
from tests.test_builds_of_others import TO_INDEX, until_it_waits
from tests.test_lifecycle import alembic

SLEEPING = "FROM pg_stat_activity WHERE application_name LIKE 'aoc-migrate psql%' AND wait_event = 'PgSleep'"
LEAF, ON_LEAF = (
    "vex_raw_a_idempotency_v1",
    f"CREATE UNIQUE INDEX CONCURRENTLY vex_raw_a_idempotency_v1 ON public.vex_raw_a {COLUMNS}",
)


@pytest.fixture
def partitioned_before_index(excititor: Database, aoc: Aoc) -> Iterator[Database]:
    """A partitioned raw table before its first index; its owner migrates, and sees nobody else's sessions."""
    partition(excititor.connection, "vex_raw")
    with lonely(excititor) as role:
        excititor.run(f"GRANT ALL ON SCHEMA cold TO {role}")
        for (name,) in excititor.rows("SELECT relid::regclass::text FROM pg_partition_tree('vex_raw')"):
            excititor.run(f"ALTER TABLE {name} OWNER TO {role}")
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "p")
        assert aoc("upgrade", "excititor_0003").exit_code == 0
        yield excititor


def test_a_build_on_a_partition_is_waited_for(partitioned_before_index: Database, aoc: Aoc) -> None:
    """Another session's build on a partition is waited for; once valid it is attached, not dropped."""
    with held(partitioned_before_index, ON_LEAF) as (pid, let_go):
        theirs = oid(partitioned_before_index, LEAF)
        process = aoc.start(*TO_INDEX)
        until_it_waits(process, pid)
        let_go()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, out + err
    assert (
        oid(partitioned_before_index, LEAF),
        valid(partitioned_before_index, LEAF),
        valid(partitioned_before_index),
    ) == (theirs, True, True)


def test_a_leftover_on_a_partition_is_replaced(partitioned_before_index: Database, aoc: Aoc) -> None:
    """An INVALID index of a build on a partition is dropped and built again."""
    leave_invalid(partitioned_before_index, ON_LEAF)

    assert aoc(*TO_INDEX).exit_code == 0
    assert pairs(partitioned_before_index.connection, INDEX)["vex_raw_a"] == LEAF
    assert valid(partitioned_before_index, LEAF) is True


WORDS = {"upgrade": "excititor_0003:excititor_0004", "downgrade": "excititor_0004:excititor_0003"}


@pytest.fixture
def plan_scripts(excititor: Database, aoc: Aoc) -> dict[str, str]:
    """What builds the index and what drops it, printed by `plan --sql`."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    return {verb: aoc("plan", "excititor", between, "--sql").out for verb, between in WORDS.items()}


@pytest.fixture
def alembic_scripts(plan_scripts: dict[str, str], excititor: Database, aoc: Aoc) -> dict[str, str]:
    """The same as Alembic prints it."""
    return {verb: alembic(excititor, aoc, verb, WORDS[verb], "--sql").out for verb in plan_scripts}


@pytest.fixture(params=["plan_scripts", "alembic_scripts"])
def printed_scripts(request: pytest.FixtureRequest) -> dict[str, str]:
    """Either of them."""
    scripts: dict[str, str] = request.getfixturevalue(request.param)
    return scripts


def run(database: Database, script: str) -> Ran:
    """Run a script, which ends at the first error."""
    return psql(database, script, "-v", "ON_ERROR_STOP=1")


def test_printed_sql_refuses_during_a_build(alembic_scripts: dict[str, str], excititor: Database) -> None:
    """Printed SQL ends where somebody may be building the index, names the pid, and drops nothing."""
    with held(excititor) as (pid, _):
        theirs = oid(excititor)
        refused = run(excititor, alembic_scripts["upgrade"])
        after = (oid(excititor), valid(excititor))
    again = run(excititor, alembic_scripts["upgrade"])

    assert refused.exit_code == 3
    assert f"{INDEX} is INVALID, and pid {pid} may be building it" in refused.err
    assert after == (theirs, False)
    assert again.exit_code == 0, again.err
    assert (oid(excititor), valid(excititor)) == (theirs, True)


def test_a_script_replaces_a_leftover(printed_scripts: dict[str, str], excititor: Database) -> None:
    """The script drops an INVALID index of a build that ended, and builds it again."""
    leave_invalid(excititor)

    assert run(excititor, printed_scripts["upgrade"]).exit_code == 0
    assert valid(excititor) is True


def test_a_printed_downgrade_refuses_during_a_build(alembic_scripts: dict[str, str], excititor: Database) -> None:
    """A printed downgrade does not drop an INVALID index that somebody may be building either."""
    assert run(excititor, alembic_scripts["upgrade"]).exit_code == 0
    excititor.run(f"DROP INDEX {INDEX}")
    with held(excititor, BUILD) as (pid, _):
        refused = run(excititor, alembic_scripts["downgrade"])
        after = valid(excititor)
    again = run(excititor, alembic_scripts["downgrade"])

    assert (refused.exit_code, after) == (3, False)
    assert f"pid {pid} may be building it" in refused.err
    assert again.exit_code == 0, again.err
    assert oid(excititor) is None


@pytest.mark.parametrize("verb", WORDS)
def test_a_script_waits_for_a_build(verb: str, plan_scripts: dict[str, str], excititor: Database) -> None:
    """A script waits for another session's build, names it, and goes on with the index that it leaves."""
    if verb == "downgrade":
        assert run(excititor, plan_scripts["upgrade"]).exit_code == 0
        excititor.run(f"DROP INDEX {INDEX}")
    ran: list[Ran] = []
    with held(excititor, BUILD) as (pid, let_go):
        theirs = oid(excititor)
        worker = threading.Thread(target=lambda: ran.append(run(excititor, plan_scripts[verb])))
        worker.start()
        wait_until(lambda: bool(excititor.value(f"SELECT count(*) {SLEEPING}")))
        let_go()
        worker.join()

    assert ran[0].exit_code == 0, ran[0].err
    assert f"an attempt gave up (canceling statement due to lock timeout). Locked by pid {pid}" in ran[0].err
    assert (oid(excititor), valid(excititor)) == ((theirs, True) if verb == "upgrade" else (None, None))


def test_an_autovacuum_yields_to_a_script(plan_scripts: dict[str, str], excititor: Database) -> None:
    """An autovacuum that would hold the lock for minutes yields to a script, and the leftover is replaced."""
    leave_invalid(excititor)

    with autovacuum(excititor):
        ran = run(excititor, plan_scripts["upgrade"])

    assert ran.exit_code == 0, ran.err
    assert valid(excititor) is True
