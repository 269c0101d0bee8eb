"""Facts of `status`: what a dashboard needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.facts.runs import LatestRun
from aoc_migrate.report.fields import Bytes, Detail, Facts, Pairs, Seconds, Title


@dataclass(frozen=True)
class Runner:
    """A session that holds the run lock; what this role may not see of it is None."""

    pid: int | None
    application: str | None
    role: str | None
    connected_seconds: Seconds | None


@dataclass(frozen=True)
class HoldFacts(Facts):
    """The hold: the rollback that left it, whether that has finished, its revision, and who did it when."""

    held_by: Annotated[str, Detail()]
    held_at: Annotated[str | None, Detail()]
    held_at_revision: Annotated[str, Detail()]
    held_after: Annotated[str, Detail()]
    rollback_finished: Annotated[bool, Detail()]


@dataclass(frozen=True)
class StatusFacts(Facts):
    """The applied and pending revisions, the backfill and its journal, the lock, what runs now and what ran last.

    ``pending`` has the id and the title of each revision. ``backfilled_rows``: the rows that the backfill has
    written. ``rows_estimated`` comes from PostgreSQL's statistics. What this role may not know is missing.
    """

    applied: int
    pending: tuple[str, ...]
    backfill: str
    journal: Annotated[int, Title("links in journal")] | None
    lock: str
    building: Annotated[Mapping[str, int], Pairs("index", "pid", ids=True), Title("building index")]
    running: tuple[Running, ...]
    latest_runs: tuple[LatestRun, ...] = ()
    runners: Annotated[tuple[Runner, ...], Detail()] = ()
    backfilled_rows: Annotated[int | None, Detail()] = None
    rows_estimated: Annotated[int | None, Detail(), Title("rows (estimate)")] = None
    table_bytes: Annotated[Bytes, Detail()] | None = None
    with_documents_and_indexes_bytes: Annotated[Bytes, Detail()] | None = None
