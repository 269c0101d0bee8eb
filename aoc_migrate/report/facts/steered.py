"""What people asked of a run while it was under way."""

from dataclasses import dataclass

from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.fields import Facts, States


@dataclass(frozen=True)
class Change:
    """One change to a run under way: when, by which role, from which machine, and what was asked."""

    at: str
    by: str
    host: str | None
    asked: str

    @property
    def who(self) -> str:
        """The role, and its machine if that is known."""
        return f"{self.by} on {self.host}" if self.host else self.by

    def __str__(self) -> str:
        return f"asked by {self.who} at {self.at}: {self.asked}"


@dataclass(frozen=True)
class SteeringFacts(Facts):
    """What is ``asked`` of the run under way now, and all ``controls`` of the run, the oldest first."""

    controls: tuple[Change, ...]
    asked: States | None = None


@dataclass(frozen=True)
class RunUnderWay(Facts):
    """Who holds the run lock, and the steps that run now."""

    lock: str
    running: tuple[Running, ...]
