"""Facts of `verify`, `status` and `wait`: the state of a target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.fields import Facts, Pairs, Seconds, States, Title


@dataclass(frozen=True)
class CatalogFacts(Facts):
    """The state of each rule (missing, changed, guarded, proven) and of each index."""

    rules: States
    indexes: States


@dataclass(frozen=True)
class StatusFacts(Facts):
    """The applied and pending revisions, the backfill and its journal, the lock, and what runs now."""

    applied: int
    pending: tuple[str, ...]
    backfill: str
    journal: Annotated[int, Title("links in journal")] | None
    lock: str
    building: Annotated[Mapping[str, int], Pairs("index", "pid", ids=True), Title("building index")]
    running: tuple[Running, ...]


@dataclass(frozen=True)
class WaitFacts(Facts):
    """How long `wait` waited."""

    waited_seconds: Seconds
