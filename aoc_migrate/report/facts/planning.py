"""Facts of `plan`: what would run, with its locks, scans and sizes."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Bytes, Facts, Milliseconds, Seconds


@dataclass(frozen=True)
class PlannedStep:
    """Steps that run together: their lock, what they read and write, the bytes, and the estimated time."""

    revision: str
    statement: str
    lock: str
    reads: str
    writes: str
    size_bytes: Bytes | None
    estimated_ms: Milliseconds | None


@dataclass(frozen=True)
class PlanFacts(Facts):
    """The revisions of a plan, the sizes of the table, and the steps.

    Estimates are missing if the table could not be measured. They do not include audit and verify.
    """

    direction: str
    from_revision: str
    to_revision: str
    longest_stall_ms: Milliseconds
    rows_estimated: int
    plan: tuple[PlannedStep, ...]
    partitions: int | None = None
    table_bytes: Bytes | None = None
    with_documents_and_indexes_bytes: Bytes | None = None
    new_indexes_estimated_bytes: Bytes | None = None
    estimated_seconds: Seconds | None = None
    links_estimated: int | None = None
    wal_compression: str | None = None
    backfill_wal_at_most_bytes: Bytes | None = None
    backfill_wal_compressed_at_most_bytes: Bytes | None = None
