"""Facts of `rehearse`: the room that it needs, its phases, and whether the way back is exact."""

from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Bytes, Detail, Facts, Milliseconds, Seconds, Title


@dataclass(frozen=True)
class RoomFacts(Facts):
    """The most bytes that the files of the database server grow by, as estimated before anything changes.

    ``new_versions_bytes``: rows that are written again, because of their links; ``kept_wal_bytes``: WAL that is
    not recycled yet; ``free_space_bytes``: what --free-space says.
    """

    room_needed_bytes: Annotated[Bytes, Title("room needed (estimate)")]
    new_indexes_bytes: Annotated[Bytes, Detail()]
    sorts_bytes: Annotated[Bytes, Detail()]
    new_versions_bytes: Annotated[Bytes, Detail()]
    kept_wal_bytes: Annotated[Bytes, Detail()]
    free_space_bytes: Annotated[Bytes, Title("free space")] | None = None


@dataclass(frozen=True)
class Phase:
    """A phase of a rehearsal: how long it took, the longest that others may have waited, WAL, and growth.

    ``wal_bytes`` is None where the server does not say. ``growth_bytes`` is negative where files became smaller.
    """

    phase: str
    took_seconds: Seconds
    longest_stall_ms: Milliseconds | None
    wal_bytes: Annotated[Bytes, Title("WAL")] | None
    growth_bytes: Annotated[Bytes, Title("growth")]


@dataclass(frozen=True)
class RehearsalFacts(Facts):
    """The verdict on the way back (``exact``, ``differs``, or None before it is known), and what was rehearsed.

    ``compared_objects`` and ``compared_rows`` are those before the upgrade. ``kept``: what the downgrade keeps on
    purpose: our bookkeeping, and the column that the first revision adds.
    """

    way_back: str | None
    from_revision: str
    to_revision: str
    compared_objects: int
    compared_rows: int
    phases: tuple[Phase, ...]
    kept: Annotated[tuple[str, ...], Title("kept on purpose")] = ()
