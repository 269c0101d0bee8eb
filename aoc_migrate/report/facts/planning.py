"""Facts of `plan`: what would run, with its locks, scans and sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Bytes, Detail, Facts, Milliseconds, OnlyJson, Seconds, Title, Unit


@dataclass(frozen=True)
class PlannedStep:
    """Statements of one kind that run together in one transaction, with their lock.

    ``change``: ``+`` makes, ``~`` changes, ``-`` drops. ``reads``: what is read of the raw table; ``size_bytes``:
    how much that is. ``objects``: the names of what is made, changed or dropped. ``sql``: the statements, with $1
    for the size of a batch; empty where they depend on what each partition has.
    """

    change: str
    revision: Annotated[str, Detail()]
    statement: str
    lock: str
    reads: str
    size_bytes: Annotated[int | None, Unit("_bytes"), Detail()]
    estimated_ms: Annotated[Milliseconds, Title("estimate")] | None
    objects: Annotated[tuple[str, ...], Detail()]
    sql: Annotated[tuple[str, ...], Detail()]


@dataclass(frozen=True)
class PlanFacts(Facts):
    """The revisions of a plan, the sizes of the table, and the steps.

    What could not be measured is missing. ``time_estimated_seconds``: the sum of the steps, without audit and
    verify; missing if a step that reads rows has no estimate. ``links_estimated``: the links that the backfill
    writes; ``links_at_most`` instead, if only the maximum is known. ``backfill_staging_at_most_bytes``: the
    temporary table of a backfill beyond the cache; to fill it, about four times as much is sorted in files.
    """

    direction: Annotated[str, Detail()]
    from_revision: Annotated[str, Detail()]
    to_revision: str
    stall_at_most_ms: Annotated[Milliseconds, Title("stalls at most")]
    rows_estimated: Annotated[int, Title("rows (estimate)")] | None
    plan: tuple[PlannedStep, ...]
    partitions: int | None = None
    table_bytes: Annotated[Bytes, Detail()] | None = None
    with_documents_and_indexes_bytes: Bytes | None = None
    new_indexes_estimated_bytes: Annotated[Bytes, Title("new indexes (estimate)")] | None = None
    time_estimated_seconds: Annotated[Seconds, Title("time (estimate)")] | None = None
    links_estimated: Annotated[int, Title("links to write (estimate)")] | None = None
    links_at_most: Annotated[int, Title("links to write at most")] | None = None
    backfill_staging_at_most_bytes: Annotated[Bytes, Title("backfill's temporary table at most")] | None = None
    wal_compression: Annotated[str | None, Detail(), Title("WAL compression")] = None
    backfill_wal_at_most_bytes: Annotated[Bytes, Title("backfill's WAL at most")] | None = None
    backfill_wal_compressed_at_most_bytes: Annotated[Bytes, Detail(), Title("compressed WAL at most")] | None = (
        None
    )


@dataclass(frozen=True)
class BoundFacts(Facts):
    """What `upgrade --plan` compares: the plan is valid only for these revisions and this catalog.

    ``revisions``: the SHA-256 of the SQL of each revision that the plan runs. ``catalog``: the digest of each
    object's definition, by table, kind and name; no sizes, counts, privileges or comments. ``plan_digest``: the
    digest of all facts and of the database that they are about. It shows that the file was changed; it is no
    signature. ``table_owner``: who gets the raw table, if the plan creates it for another role.
    """

    revisions: Annotated[Mapping[str, str], OnlyJson()]
    catalog: Annotated[Mapping[str, Mapping[str, Mapping[str, str]]], OnlyJson()]
    plan_digest: Annotated[str, OnlyJson()] = ""
    table_owner: Annotated[str | None, OnlyJson()] = None
