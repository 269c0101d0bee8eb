"""The same on partitions, and in what is printed for psql: no INVALID index of a running build is dropped."""

from collections.abc import Iterator

import pytest

from tests.builds import BUILD, COLUMNS, INDEX, held, leave_invalid, lonely, oid, valid
from tests.conftest import Aoc, Database, Ran
from tests.helpers import psql
from tests.partitions import pairs, partition
from tests.test_builds_of_others import TO_INDEX, until_it_waits
from tests.test_lifecycle import alembic

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


@pytest.fixture(params=["plan", "alembic"])
def printed_scripts(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> dict[str, str]:
    """What builds the index and what drops it, printed by `plan --sql` and by `alembic --sql`."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    words = {"upgrade": "excititor_0003:excititor_0004", "downgrade": "excititor_0004:excititor_0003"}
    if request.param == "plan":
        return {verb: aoc("plan", "excititor", between, "--sql").out for verb, between in words.items()}
    return {verb: alembic(excititor, aoc, verb, between, "--sql").out for verb, between in words.items()}


def run(database: Database, script: str) -> Ran:
    """Run a script, which ends at the first error."""
    return psql(database, script, "-v", "ON_ERROR_STOP=1")


def test_a_script_refuses_during_a_build(printed_scripts: dict[str, str], excititor: Database) -> None:
    """A script ends where somebody may be building the index, names the pid, and drops nothing."""
    with held(excititor) as (pid, _):
        theirs = oid(excititor)
        refused = run(excititor, printed_scripts["upgrade"])
        after = (oid(excititor), valid(excititor))
    again = run(excititor, printed_scripts["upgrade"])

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


def test_a_downgrade_script_refuses_during_a_build(printed_scripts: dict[str, str], excititor: Database) -> None:
    """A script down does not drop an INVALID index that somebody may be building either."""
    assert run(excititor, printed_scripts["upgrade"]).exit_code == 0
    excititor.run(f"DROP INDEX {INDEX}")
    with held(excititor, BUILD) as (pid, _):
        refused = run(excititor, printed_scripts["downgrade"])
        after = valid(excititor)
    again = run(excititor, printed_scripts["downgrade"])

    assert (refused.exit_code, after) == (3, False)
    assert f"pid {pid} may be building it" in refused.err
    assert again.exit_code == 0, again.err
    assert oid(excititor) is None
