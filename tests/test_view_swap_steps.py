"""What the Steps of the swap find by themselves, where no audit came first or somebody changed the view since."""

import pytest

from tests.conftest import Aoc, Database
from tests.test_lifecycle import alembic
from tests.test_view_swap import BACKUP
from tests.test_view_swap_conflicts import CONFLICTS


@pytest.mark.alike
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("both names taken", f"the name {BACKUP} is taken"),
        ("a foreign view", f"it is a view already, and there is no {BACKUP}"),
        ("a sequence", "it is neither a table nor a view"),
    ],
)
def test_stock_alembic_stops_too(case: str, reason: str, concelier: Database, aoc: Aoc) -> None:
    """Without an audit, the Step itself says what is in the way, and what to do."""
    concelier.run(CONFLICTS[case][0])
    aoc.configure(concelier)

    stopped = alembic(concelier, aoc, "upgrade", "head", check=False)

    assert stopped.exit_code != 0
    assert f"advisory cannot be replaced with a view: {reason}.\nRename or drop what is in the way" in stopped.out


def test_a_view_that_was_dropped_is_not_repaired(concelier: Database, aoc: Aoc) -> None:
    """If somebody has dropped the view, an upgrade names that, and tries nothing on it."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("DROP VIEW advisory")

    assert aoc.json("upgrade").slugs("error") == ["view-target"]
