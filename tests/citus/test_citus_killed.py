"""After kill -9 at a statement boundary, the same command ends on every node where an undisturbed run ends."""

from itertools import cycle

import pytest

from tests.citus.clusters import Cluster
from tests.citus.lab import ClusterLab
from tests.faults.lab import kill, kill_after_sending
from tests.faults.scenarios import Scenario

WALKED = [
    (Scenario("excititor", (), "upgrade head"), 12),
    (Scenario("excititor", ("upgrade head",), "downgrade base"), 12),
    (Scenario("concelier", ("upgrade concelier_0007",), "upgrade head"), 5),
    (Scenario("excititor", (), "upgrade excititor_0005", rows=50, parted=True), 20),
]
"""What is killed, at every how many boundaries."""


@pytest.mark.parametrize(("scenario", "every"), WALKED, ids=str)
def test_a_killed_command_ends_as_if_undisturbed(
    scenario: Scenario, every: int, lab: ClusterLab, cluster: Cluster
) -> None:
    """Killed anywhere, the same command goes on, and leaves rows, catalog and shards as a normal run does."""
    with cluster.used():
        chosen = [b for b in lab.undisturbed(scenario).boundaries if not b.inside][::every]
        assert chosen, "no boundary was found"

        kills = zip(chosen, cycle((kill, kill_after_sending)))  # as many as are chosen
        assert [problem for boundary, kind in kills for problem in lab.broken(scenario, boundary, kind)] == []
