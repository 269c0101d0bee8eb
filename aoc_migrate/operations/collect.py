"""The executor that runs nothing: it collects Steps, for a plan and for psql scripts."""

import io
from dataclasses import dataclass, field

from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.spread.shape import PLAIN, Spread
from aoc_migrate.operations.step import Kind, Lock, Step


@dataclass
class Collector:
    """Collects Steps in groups: those of a group share one transaction and one lock.

    ``printed``: where Alembic prints what its own operations do.
    """

    schema: Schema
    printed: io.StringIO = field(default_factory=io.StringIO)
    owner: str | None = None
    groups: list[tuple[Step, ...]] = field(default_factory=list)

    def run(self, *steps: Step) -> None:
        """Keep a group, after the statements that Alembic has printed since the last one."""
        if stock := self.printed.getvalue().strip().removesuffix(";"):
            self.groups.append((Step(Kind.STOCK, self.schema[""], (), Lock.ACCESS_EXCLUSIVE, (stock,)),))
            self.printed.seek(0)
            self.printed.truncate()
        if steps:
            self.groups.append(steps)

    def spread(self, _: Relation) -> Spread:
        """Return `PLAIN`: what is collected is for a plain table."""
        return PLAIN

    def on_partitions(self, _: Relation) -> None:
        """Return None: a script refuses a partitioned table, and a plan says what differs there."""
