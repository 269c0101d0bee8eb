"""What was checked, and how much of it was as it should be: what findings alone do not say."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Detail, Facts


@dataclass(frozen=True)
class Checked:
    """Something that was checked: of how many rows, links or objects, and how many of them ``failed``.

    ``checked`` is None where there is nothing to count. What failed has findings, which may be warnings.
    """

    what: str
    checked: int | None
    unit: str
    failed: int


@dataclass(frozen=True)
class CheckFacts(Facts):
    """What the command checked. What it did not get to, or was not asked for, is not there."""

    checks_passed: int
    checks_not_passed: Annotated[int, Detail()]
    checks: Annotated[tuple[Checked, ...], Detail()]

    @classmethod
    def of(cls, checks: Iterable[tuple[str, int | None, str, int]]) -> "CheckFacts":
        """Return the facts of these checks; of a check that was made again, the latest result."""
        latest = {check[0]: Checked(*check) for check in checks}
        failed = sum(check.failed > 0 for check in latest.values())
        return cls(len(latest) - failed, failed, tuple(latest.values()))
