"""Facts about what is in quarantine."""

from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Facts, Sample, Title


@dataclass(frozen=True)
class QuarantineFacts(Facts):
    """The number of moved rows and of originals of repaired rows; None if the role may not read it."""

    quarantine: Annotated[int, Title("moved to quarantine")] | None
    repaired: int | None


@dataclass(frozen=True)
class QuarantinedRun:
    """The rows that one run put there for one reason."""

    run: int
    reason: str
    moved: int
    repaired: int
    since: str
    by: str


@dataclass(frozen=True)
class QuarantinedRow:
    """A row in quarantine: moved or repaired, why, and the row that replaces it."""

    id: str
    run: int
    what: str
    reason: str
    kept: str | None


@dataclass(frozen=True)
class QuarantineListFacts(Facts):
    """What `quarantine` lists; without a quarantine, only ``rows`` 0."""

    rows: int
    quarantined_by_run: tuple[QuarantinedRun, ...] | None = None
    sample: Annotated[tuple[QuarantinedRow, ...], Sample()] | None = None


@dataclass(frozen=True)
class RestoreFacts(Facts):
    """The run that `--restore` takes back, its command and rows, and how many other runs are in quarantine."""

    restores_run: int
    restores_command: str
    restores_rows: int
    other_runs: int


@dataclass(frozen=True)
class ExportFacts(Facts):
    """How many rows were exported."""

    exported: int
