"""Facts of every command that reads the whole raw table: how often, and what for.

On a table beyond memory, reads are what takes time.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from aoc_migrate.report.fields import Detail, Facts, OnlyJson, Pairs, Title

BACKFILL, BUILDS = "backfill", "index builds"
IN_AN_INDEX = "duplicates, in an index"
_Reads = Annotated[Mapping[str, int], Pairs("what for", "reads", counts=True)]


@dataclass(frozen=True)
class FullReads(Facts):
    """How often the whole raw table was read: ``full_reads`` times, for what ``full_reads_for`` says.

    ``full_reads_for_changes``: what index builds and the backfill read besides. ``full_index_reads``: reads of a
    whole index, which is smaller than the table.
    """

    full_reads: Annotated[int, OnlyJson()]
    full_reads_for: Annotated[_Reads, Detail(), Title("full reads")]
    full_reads_for_changes: Annotated[_Reads, Detail(), Title("full reads for changes")] | None = None
    full_index_reads: Annotated[_Reads, Detail(), Title("full reads of an index")] | None = None

    @classmethod
    def of(cls, counted: Counter[str]) -> "FullReads":
        """Return the facts of reads that were counted by what for."""
        changes = {what: reads for what, reads in counted.items() if what in (BACKFILL, BUILDS)}
        index = {what: reads for what, reads in counted.items() if what == IN_AN_INDEX}
        others = {what: reads for what, reads in counted.items() if what not in (*changes, *index)}
        return cls(sum(others.values()), others, changes or None, index or None)
