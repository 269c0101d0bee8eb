"""What a psql script does: which revisions, in which order, on which condition, and how the version moves."""

from dataclasses import dataclass

from aoc_migrate.contract.model import Part
from aoc_migrate.database.bookkeeping import VERSION
from aoc_migrate.database.relation import VARIABLE
from aoc_migrate.revisions.graph import Revision, history, position


@dataclass(frozen=True)
class Job:
    """What a script does: ``command`` as the ledger shows it, with ``revisions`` in the order in which they run.

    ``start`` and ``goal`` are positions in the history; the script takes any position between them. ``converge``:
    the version stays where it is, and what ``revisions`` make (or unmake) is done wherever it is lacking.
    """

    target: str
    command: str
    function: str
    revisions: list[Revision]
    start: int
    goal: int
    converge: bool = False

    def name(self, place: int) -> str:
        """Return the revision at a place of the history, or base."""
        return history(self.target)[place - 1].id if place else "base"

    @property
    def down(self) -> bool:
        """Whether it takes back."""
        return self.function == "downgrade"


def upgrade_job(target: str, start: str | None, goal: str | None) -> Job:
    """Return the upgrade from ``start`` to ``goal``; where it ends a hold, it puts back what was removed below."""
    begin, end = position(target, start), position(target, goal)
    below = [r for r in history(target)[:begin] if r.removable]
    revisions = [*below, *history(target)[begin:end]]
    return Job(target, f"psql upgrade {goal or 'base'}", "upgrade", revisions, begin, end)


def downgrade_job(target: str, start: str | None, goal: str | None) -> Job:
    """Return the downgrade from ``start`` to ``goal``; what the constraints script made above goes first."""
    begin, end = position(target, start), position(target, goal)
    above = [r for r in reversed(history(target)[begin:]) if r.removable and begin > end]
    undone = [*above, *reversed(history(target)[end:begin])]
    return Job(target, f"psql downgrade {goal or 'base'}", "downgrade", undone, begin, end)


def constraints_job(target: str) -> Job:
    """Return the upgrade to constraints and idempotency index; what stood beyond is put back as well."""
    end = max(position(target, r.id) for r in history(target) if r.part is Part.IDEMPOTENCY)
    beyond = [r for r in history(target)[end:] if r.removable]
    revisions = [*history(target)[:end], *beyond]
    return Job(
        target, f"psql constraints {history(target)[end - 1].id}", "upgrade", revisions, 0, end, converge=True
    )


def remove_job(target: str) -> Job:
    """Return what `constraints --remove` does."""
    removable = [r for r in history(target) if r.removable][::-1]
    return Job(target, "constraints --remove", "downgrade", removable, 0, 0, converge=True)


def due(job: Job, revision: Revision) -> str:
    """Return the condition on which a revision is run."""
    place_ = position(job.target, revision.id)
    if job.converge and (job.down or place_ <= job.goal):
        return "true"
    if job.down and place_ > job.start:
        return "true"
    if revision.removable and not job.converge and not job.down:
        return f":aoc_position < {place_} OR :'aoc_held'::boolean"
    return f":aoc_position {'>=' if job.down or job.converge else '<'} {place_}"


def stamp(job: Job, revision: Revision) -> str:
    """Return the statement that moves the version from the revision before; empty where the job leaves it."""
    before, version = revision.down, VARIABLE[VERSION]
    if position(job.target, revision.id) > max(job.start, job.goal) or (job.converge and job.down):
        return ""
    if job.down and before is None:
        return f"DELETE FROM {version} WHERE version_num = '{revision.id}'"
    if before is None:
        new = f"SELECT '{revision.id}' WHERE NOT EXISTS (SELECT FROM {version})"
        return f"INSERT INTO {version} (version_num) {new}"
    old, new = (revision.id, before) if job.down else (before, revision.id)
    return f"UPDATE {version} SET version_num = '{new}' WHERE version_num = '{old}'"
