"""The legacy table may be local, a reference table or distributed: the view takes its place, and gives it back."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint

PLACED = {
    "local": "SELECT 1",
    "reference": "SELECT create_reference_table('advisory')",
    "distributed": "SELECT create_distributed_table('advisory', 'id')",
}


@pytest.mark.parametrize("placed", PLACED)
def test_advisory_is_swapped_and_swapped_back(
    placed: str, distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The view shows the same rows, refuses writes on the coordinator, and leaves the table as it was."""
    distributed.run(PLACED[placed])
    before, rows = fingerprint(distributed.connection), distributed.rows("SELECT * FROM advisory ORDER BY id")

    up = aoc.json("upgrade", "concelier", **retrofit)
    assert up.exit_code == 0, (up.report["findings"], up.err)
    assert distributed.value("SELECT relkind FROM pg_class WHERE oid = 'advisory'::regclass") == "v"
    assert distributed.rows("SELECT * FROM advisory ORDER BY id") == rows
    with pytest.raises(psycopg.Error):
        distributed.run("UPDATE advisory SET title = 'x'")
    down = aoc.json("downgrade", "concelier", "base")

    assert down.exit_code == 0, (down.report["findings"], down.err)
    assert fingerprint(distributed.connection) == before
    assert distributed.rows("SELECT * FROM advisory ORDER BY id") == rows
