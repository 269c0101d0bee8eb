"""How often Steps read the whole raw table."""

from collections.abc import Iterable

from aoc_migrate.database.session import Session
from aoc_migrate.operations.step import Kind, Step
from aoc_migrate.report.facts.full_reads import BUILDS

_READS = {
    Kind.VALIDATE: ("proofs", 1),
    Kind.VALIDATE_NOT_NULL: ("proofs", 1),
    Kind.BUILD_INDEX: (BUILDS, 2),
    Kind.BUILD_UNIQUE_INDEX: (BUILDS, 2),
    Kind.MAKE_INDEX: (BUILDS, 2),  # of its partitions, which are built one after the other
    Kind.REBUILD_INDEX: (BUILDS, 2),
}


def count_reads(session: Session, steps: Iterable[Step]) -> None:
    """Count what Steps that ran read of the whole raw table; what they read of a partition is a part of that."""
    for step in steps:
        if step.kind in _READS and step.relation == session.raw:
            what, reads = _READS[step.kind]
            session.full_reads[what] += reads
