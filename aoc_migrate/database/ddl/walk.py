"""The backfill's way over the table: in key order, or in physical order where a trial shows that to be faster.

In memory key order is two to three times as fast (`reference/limits.md` 5.1). Each of its rows may be on another
page, though: on a heap far larger than memory that is a read a row, and physical order may win
(`reference/limits.md` 8). Either way is exact once the scan afterwards finds nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.books import STATE
from aoc_migrate.database.ddl.backfill import Batches, hurried
from aoc_migrate.database.ddl.chain import batch, physical_batch
from aoc_migrate.database.ours import ours
from aoc_migrate.database.pace import Pace
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Row, Session

FAR = 2  # a heap of so many times effective_cache_size is tried in both orders
TRIAL = 20  # batches of each

_HEAP = (
    "SELECT relkind = 'r' AND pg_relation_size(oid) > %s * pg_size_bytes(current_setting('effective_cache_size')) "
    "AS far, pg_relation_size(oid) / current_setting('block_size')::int AS blocks, "
    "greatest(reltuples / greatest(relpages, 1), 1)::float8 AS rows_per_block "
    "FROM pg_class WHERE oid = to_regclass(%s)"
)


@dataclass
class Way:
    """One order: its name, its statement with the values for a size, and whether a page of it is the last."""

    name: str
    statement: str
    values: Callable[[int], Row]
    last: Callable[[Row], bool]
    pace: Pace
    seen: int = 0
    seconds: float = 0.0
    done: bool = False

    def go(self, running: Batches, progress: Progress) -> None:
        """Run one batch this way."""
        running.pace = self.pace
        page = running.run(self.statement, self.values)
        self.seen, self.seconds = self.seen + page["seen"], self.seconds + page["seconds"]
        self.done = self.last(page)
        progress.add(page["seen"])

    @property
    def speed(self) -> float:
        """Rows a second so far."""
        return self.seen / self.seconds


def walk(running: Batches, contract: Contract, name: str) -> None:
    """Go over the table once, on from the cursor that is kept under ``name``."""
    progress = Progress(running.session, "rows looked at")
    ways = _ways(running.session, contract, name)
    with hurried(running.session):
        way = _faster(running, progress, ways, name) if len(ways) > 1 else ways[0]
        while not way.done:
            way.go(running, progress)


def _ways(session: Session, contract: Contract, name: str) -> list[Way]:
    """Return key order, with physical order beside it where that is worth a trial; or what a trial has chosen."""
    limits = session.limits
    key = Way(
        "key",
        batch(contract, session.schema, name, online=True),
        lambda size: {"size": size},
        lambda page: bool(page["seen"] < page["size"]),
        Pace(limits),
    )
    heap = session.row(_HEAP, (FAR, str(session.schema[contract.table])))
    physical = Way(
        "physical",
        physical_batch(contract, session.schema, name),
        lambda size: {"blocks": max(1, round(size / heap["rows_per_block"]))},
        lambda page: bool(page["block"] >= heap["blocks"]),
        Pace(limits),
    )
    chosen = (catalog.state(session, name) or {}).get("order") or (None if heap["far"] else "key")
    return [way for way in (key, physical) if chosen in (None, way.name)]


def _faster(running: Batches, progress: Progress, ways: list[Way], name: str) -> Way:
    """Try the orders in turn; keep and return the faster one. What the other has written stands."""
    session = running.session
    for _ in range(TRIAL):
        for way in ways:
            way.go(running, progress)
            if way.done:
                return way
    best = max(ways, key=lambda way: way.speed)
    told = ", ".join(f"{way.name} order {way.speed:,.0f} rows a second" for way in ways)
    session.say(f"{running.label}: {told}; going on in {best.name} order")
    with ours(session, STATE, writes=True):
        session.run(
            f"UPDATE {session.schema[STATE]} SET value = value || jsonb_build_object('order', %s::text) "
            "WHERE name = %s",
            (best.name, name),
        )
    return best
