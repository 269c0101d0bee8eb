"""What the Steps of the swap find by themselves, where no audit came first or somebody changed the view since."""

import pytest

from aoc_migrate.report.commands import split
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


def test_a_dropped_view_is_made_again_as_its_help_says(concelier: Database, aoc: Aoc) -> None:
    """An upgrade tries nothing on a view that was dropped; what the help says to type makes it again."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("DROP VIEW advisory")

    stopped = aoc.json("upgrade")
    typed = [part for part, is_command in split(stopped.finding("view-target")["help"]) if is_command]
    codes = [aoc(*command.split()[1:]).exit_code for command in typed]

    assert (stopped.exit_code, stopped.slugs("error")) == (1, ["view-target"])
    assert ([command.split()[1] for command in typed], codes) == (["downgrade", "upgrade"], [0, 0])
    assert concelier.value("SELECT relkind::text FROM pg_class WHERE oid = 'advisory'::regclass") == "v"
    assert aoc("verify").exit_code == 0
