"""A worker of the cluster crashes under a command: it says so, and goes on once the worker is back."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.citus.lab import ClusterLab
from tests.citus.workers import Worker, start_all
from tests.faults.lab import end
from tests.faults.long_steps import blocked, down, up
from tests.faults.outcome import differences
from tests.helpers import wait_until

STEPS = {
    "the proof": (up("0002"), "LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE"),
    "an index build": (up("0003"), "LOCK TABLE {} IN ROW EXCLUSIVE MODE"),
    "the backfill": (up("0005"), "SELECT FROM {} FOR UPDATE"),
    "links set back": (down("0006"), "SELECT FROM {} FOR UPDATE"),
}
"""What runs, and what keeps it waiting on one shard."""
SHARD = """SELECT shard_name, nodeport FROM citus_shards
WHERE shardid = get_shard_id_for_distribution_column('vex_raw', 'tenant 1')"""
MANUALLY = "SET LOCAL citus.enable_manual_changes_to_shards TO on; "
WAITS = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
)


@pytest.mark.parametrize("step", STEPS)
def test_the_same_command_finishes_when_the_worker_is_back(
    step: str, stoppable: list[Worker], lab: ClusterLab
) -> None:
    """Without the worker, the command and the next one end with exit 3 and name it; with it, one finishes."""
    scenario, blocker = STEPS[step]
    peace = lab.undisturbed(scenario)
    with lab.database(peace.template) as name:
        conninfo = lab.url_of(name)
        with lab.connect(name) as coordinator:
            shard, port = coordinator.execute(SHARD).fetchone()  # type: ignore[misc]
        (worker,) = [each for each in stoppable if each.port == port]
        try:
            with blocked(make_conninfo(conninfo, port=port), MANUALLY + blocker.format(shard)):
                process = lab.start(scenario.target, conninfo, *scenario.words)
                with psycopg.connect(conninfo, port=port, autocommit=True) as look:
                    wait_until(lambda: look.execute(WAITS).fetchone() == (True,))
                worker.stop()
                lost = end(process)
            without = lab.run(scenario.target, conninfo, *scenario.words)
        finally:
            start_all(stoppable)
        again = lab.run(scenario.target, conninfo, *scenario.words)

        for ran in (lost, without):
            assert (ran.exit_code, f":{port}" in ran.out) == (3, True), ran.out + ran.err
        assert again.exit_code == 0, again.out + again.err
        assert differences(peace.outcome, lab.outcome(name)) == []
