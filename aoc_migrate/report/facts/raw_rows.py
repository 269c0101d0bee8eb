"""Facts of `audit`, `dedupe`, `repair` and `--restore`: the rows of the raw table."""

from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Facts, Sample, Title


@dataclass(frozen=True)
class VendorDuplicates:
    """The duplicate groups of one vendor, and their rows."""

    source_vendor: str
    groups: int
    rows: int


@dataclass(frozen=True)
class AuditFacts(Facts):
    """How many rows were read, and the duplicates of each vendor, if any, over all groups."""

    rows: int | None = None
    duplicates_by_vendor: tuple[VendorDuplicates, ...] | None = None


@dataclass(frozen=True)
class DuplicateGroup:
    """The row that stays, how many rows move, the first of them, and the columns in which they differ."""

    stays: str
    rows: int
    moves: list[str]
    links: int
    differs: str | None


@dataclass(frozen=True)
class DedupeFacts(Facts):
    """Counts over all groups, which row of a group stays, and a sample of groups.

    ``different``: the surplus rows of groups whose rows differ, which move only on request.
    """

    groups: int
    surplus: int
    different: Annotated[int, Title("surplus that differs")]
    different_groups: Annotated[int, Title("groups that differ")]
    stays: Annotated[str, Title("row that stays")]
    duplicates: Annotated[tuple[DuplicateGroup, ...], Sample()]


@dataclass(frozen=True)
class BrokenRule:
    """How many rows break a rule in a column, and how many of them are repaired or moved."""

    rule: str
    column: str
    rows: int
    repair: int
    move: int


@dataclass(frozen=True)
class BrokenRow:
    """A row that breaks rules, and whether it is repaired or moved."""

    id: str
    becomes: str
    breaks: list[str]


@dataclass(frozen=True)
class RepairFacts(Facts):
    """How many rows would be repaired or moved, by rule and column, and a sample. A row may break several."""

    broken: Annotated[tuple[BrokenRule, ...], Title("broken rules")]
    to_repair: Annotated[int, Title("rows to repair")] | None = None
    to_move: Annotated[int, Title("rows to move")] | None = None
    sample: Annotated[tuple[BrokenRow, ...], Sample()] | None = None


@dataclass(frozen=True)
class WorkFacts(Facts):
    """How many rows were written; ``resumed``: how many an interrupted run had left on its list."""

    resumed: int | None = None
    repaired: int | None = None
    moved: int | None = None
    restored: int | None = None
