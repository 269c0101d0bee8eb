"""The verifier of a database that was never upgraded."""

from tests.conftest import Aoc, Database


def test_a_verifier_before_the_first_upgrade_could_write_nothing(excititor: Database, aoc: Aoc) -> None:
    """A column that does not exist yet is not one that the role could write."""
    aoc.configure(excititor)

    ran = aoc.json("verifier", "create", AOC_VERIFIER_USER="a-verifier")

    assert "verifier-could-write" not in ran.slugs()
    assert aoc("verifier", "drop", AOC_VERIFIER_USER="a-verifier").exit_code == 0
