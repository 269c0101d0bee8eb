"""A shard moves to another worker while no run is at work: between two revisions, or after a killed run."""

import re

import psycopg

from tests.citus.clusters import Cluster
from tests.citus.lab import ClusterLab
from tests.conftest import Aoc, Database
from tests.faults.lab import kill
from tests.faults.outcome import differences
from tests.faults.scenarios import Scenario
from tests.helpers import dump

MOVE = """
SELECT citus_move_shard_placement(shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, 'block_writes')
FROM citus_shards s JOIN pg_dist_node n ON groupid <> 0 AND n.nodeport <> s.nodeport
WHERE shardid = get_shard_id_for_distribution_column('vex_raw', 'tenant 1')
"""


def move_a_shard(connection: "psycopg.Connection[object]") -> None:
    """Move a shard with rows from one of the two workers to the other."""
    connection.execute(MOVE)
    connection.execute(
        "CALL citus_cleanup_orphaned_resources()"
    )  # what moved is gone at once, not some time later


def test_a_shard_may_move_between_revisions(
    distributed_vex: Database, cluster: Cluster, lab: ClusterLab, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Each revision, up and down, finds what those before it left, wherever a shard is by then."""
    for n in range(30):
        distributed_vex.add(f"r{n}", tenant=f"tenant {n % 3}", retrieved_at=f"2025-01-{n + 1:02}T00:00:00Z")
    name, rows = distributed_vex.connection.info.dbname, dump(distributed_vex)
    before = anywhere(lab.outcome(name))
    for words in ("upgrade +1",) * 7 + ("verify --probe",) + ("downgrade -1",) * 7:
        move_a_shard(distributed_vex.connection)
        verb, *rest = words.split()
        ran = aoc(verb, "excititor", *rest, **retrofit)
        assert ran.exit_code == 0, ran.out + ran.err

    assert dump(distributed_vex) == rows
    after = [line for line in anywhere(lab.outcome(name)) if "aoc_" not in line]
    assert differences(before, after) == []


def test_a_shard_may_move_after_a_kill(lab: ClusterLab, cluster: Cluster) -> None:
    """A run that was killed in the backfill goes on after a shard has moved, and ends as if undisturbed."""
    scenario = Scenario("excititor", ("upgrade excititor_0005",), "upgrade head")
    with cluster.used():
        peace = lab.undisturbed(scenario)
        batches = [b for b in peace.boundaries if 'UPDATE "public"."vex_raw"' in b.sql]
        with lab.database(peace.template) as name:
            assert lab.interrupt(scenario, name, batches[len(batches) // 2], kill)
            with lab.connect(name) as connection:
                move_a_shard(connection)
            again = lab.run(scenario.target, lab.url_of(name), *scenario.words)

            assert again.exit_code == 0, again.out + again.err
            assert differences(anywhere(peace.outcome), anywhere(lab.outcome(name))) == []


def anywhere(outcome: list[str]) -> list[str]:
    """Return what a command left, whichever worker has it; a CHECK of a shard that moved has lost its suffix."""
    return [
        re.sub(r"^worker \d+: (?:(constraint: \S+_(\d+)\.\S+?)(?:_\2)?(?= ))?", r"\1", line) for line in outcome
    ]
