"""Facts of `verify`, `status` and `wait`: the state of the catalog, and how long a wait took."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Facts, Seconds, States


@dataclass(frozen=True)
class CatalogFacts(Facts):
    """The state of each rule (missing, changed, guarded, proven) and of each index."""

    rules: States
    indexes: States


@dataclass(frozen=True)
class WaitFacts(Facts):
    """How long `wait` waited."""

    waited_seconds: Seconds
