"""Facts about what is in quarantine."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Facts


@dataclass(frozen=True)
class QuarantineFacts(Facts):
    """Rows that were moved there, and originals of repaired rows; None where the role may not read it."""

    quarantine: int | None
    repaired: int | None


@dataclass(frozen=True)
class QuarantinedRun:
    """What one run put there for one reason."""

    run: int
    reason: str
    moved: int
    repaired: int
    since: str
    by: str


@dataclass(frozen=True)
class QuarantinedRow:
    """A row in quarantine: moved or repaired, why, and the row that was kept in its place."""

    id: str
    run: int
    what: str
    reason: str
    kept: str | None


@dataclass(frozen=True)
class QuarantineListFacts(Facts):
    """What `quarantine` lists; without a quarantine it is no row."""

    rows: int
    quarantined_by_run: tuple[QuarantinedRun, ...] | None = None
    sample: tuple[QuarantinedRow, ...] | None = None


@dataclass(frozen=True)
class ExportFacts(Facts):
    """How many rows were exported."""

    exported: int
