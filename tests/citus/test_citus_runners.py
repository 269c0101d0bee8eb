"""Several runners on a cluster: the lock between them is the coordinator's, as on one server."""

from tests.conftest import Aoc, Database
from tests.test_runners import ten_upgrades


def test_one_of_ten_upgrades_works(distributed_vex: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Ten upgrades started at once: one works, the others wait or find nothing to do, all exit 0."""
    for n in range(30):
        distributed_vex.add(f"r{n}", tenant=f"tenant {n % 3}", retrieved_at=f"2025-01-{n + 1:02}T00:00:00Z")

    assert ten_upgrades(aoc, retrofit) == 1
    assert aoc("verify").exit_code == 0
    assert distributed_vex.value("SELECT count(supersedes) FROM vex_raw") == 27
