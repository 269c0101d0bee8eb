"""The backfill on a cluster: each page of each tenant once, and what arrived behind it; the way back is exact."""

from psycopg.types.json import Jsonb

from tests.citus.test_citus_lifecycle import fill
from tests.conftest import Aoc, Database
from tests.helpers import dump

STATE = """SELECT (value->>'seen')::int, (value->>'rows')::int
FROM aoc_migration_state WHERE name = 'concelier_0006'"""
JOURNAL = """SELECT count(DISTINCT tenant), sum(array_length(links, 1))
FROM aoc_supersedes_journal WHERE tenant IS NOT NULL"""
BEHIND = {
    "cursor": dict.fromkeys(("source_vendor", "upstream_id", "id"), "")
    | {"tenant": "tenant-9", "retrieved_at": "-infinity"},
    "seen": 0,
    "rows": 0,
    "done": False,
    "started_at": "2025-01-01T00:00:00Z",
}


def links(database: Database) -> dict[str, str | None]:
    """Return the link of each row."""
    return dict(database.rows("SELECT id, supersedes FROM advisory_raw"))


RIGHT = {f"t{t}-{d}-{n}": f"t{t}-{d}-{n - 1}" if n else None for t in range(6) for d in range(2) for n in range(3)}


def test_each_page_is_read_once(distributed: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Where a tenant has more rows than a batch, the walk sees all of them, and leaves nothing to repair."""
    fill(distributed)

    ran = aoc.json("upgrade", "concelier", "concelier_0006", "--batch-rows", "2", **retrofit)

    assert ran.exit_code == 0, (ran.report["findings"], ran.err)
    assert distributed.rows(STATE) == [(36, 24)]
    assert ran.err.count("looking for wrong links") == 1
    assert links(distributed) == RIGHT


def test_what_arrived_behind_the_cursor_is_linked(shaped: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Rows of several tenants that a scan finds are repaired and journaled, in every shape, and set back again."""
    fill(shaped)
    rows = dump(shaped)
    assert aoc("upgrade", "concelier", "concelier_0005", **retrofit).exit_code == 0
    shaped.run("INSERT INTO aoc_migration_state VALUES ('concelier_0006', %s)", (Jsonb(BEHIND),))

    up = aoc.json("upgrade", "concelier", "concelier_0006", "--batch-rows", "3", **retrofit)
    assert up.exit_code == 0, (up.report["findings"], up.err)
    assert (shaped.rows(STATE), shaped.rows(JOURNAL), links(shaped)) == ([(0, 24)], [(6, 24)], RIGHT)
    down = aoc.json("downgrade", "concelier", "base", "--batch-rows", "3")

    assert down.exit_code == 0, (down.report["findings"], down.err)
    assert dump(shaped) == rows
