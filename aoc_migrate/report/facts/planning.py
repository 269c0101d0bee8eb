"""Facts of `plan`: what would run, with its locks, scans and sizes."""

from dataclasses import dataclass

from aoc_migrate.report.fields import Bytes, Facts, Milliseconds, Seconds


@dataclass(frozen=True)
class PlannedStep:
    """Steps that run together: their lock, what they read and write, how many bytes and for how long."""

    revision: str
    statement: str
    lock: str
    reads: str
    writes: str
    size_bytes: Bytes | None
    estimated_ms: Milliseconds | None


@dataclass(frozen=True)
class PlanFacts(Facts):
    """Where a plan leads, the sizes that it meets, and its steps.

    Estimates are there where the server could be measured on this table; audit and verify come on top of them.
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
