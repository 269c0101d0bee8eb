"""What a psql script does: which revisions it runs, in which order and when, and how it sets the version."""

from dataclasses import dataclass

from aoc_migrate.contract.model import Part
from aoc_migrate.database.bookkeeping import VERSION
from aoc_migrate.database.relation import VARIABLE
from aoc_migrate.revisions.graph import Revision, history, position, revision_of


@dataclass(frozen=True)
class Job:
    """What a script does: ``command`` as the ledger shows it, and ``revisions`` in the order in which they run.

    ``start`` and ``goal`` are positions in the history; the script starts from any position between them.
    ``converge``: run what the catalog needs of ``revisions``, whatever the version is, and never move it back.
    """

    target: str
    command: str
    function: str
    revisions: list[Revision]
    start: int
    goal: int
    converge: bool = False

    def name(self, number: int) -> str:
        """Return the revision at a position of the history; 0 is base."""
        return history(self.target)[number - 1].id if number else "base"

    @property
    def down(self) -> bool:
        """Whether the job is a downgrade."""
        return self.function == "downgrade"


def upgrade_job(target: str, start: str | None, goal: str | None, *, links: bool = True) -> Job:
    """Return the upgrade from ``start`` to ``goal``. It also puts back what applied revisions have lost.

    ``links``: also those that a downgrade that ended half way has set back.
    """
    begin, end = position(target, start), position(target, goal)
    below = [r for r in history(target)[:begin] if puts_back(r) and (links or r.part is not Part.CHAIN)]
    revisions = [*below, *history(target)[begin:end]]
    return Job(target, f"psql upgrade {goal or 'base'}", "upgrade", revisions, begin, end)


def downgrade_job(target: str, start: str | None, goal: str | None) -> Job:
    """Return the downgrade from ``start`` to ``goal``. First it undoes what was left or added above."""
    begin, end = position(target, start), position(target, goal)
    revisions = list(reversed(history(target)[end:] if begin > end else []))
    return Job(target, f"psql downgrade {goal or 'base'}", "downgrade", revisions, begin, end)


def constraints_job(target: str) -> Job:
    """Return the upgrade to constraints and idempotency index. It also puts back removed constraints above."""
    end = position(target, revision_of(target, Part.IDEMPOTENCY))
    above = [r for r in history(target)[end:] if r.removable]
    revisions = [*history(target)[:end], *above]
    return Job(
        target, f"psql constraints {history(target)[end - 1].id}", "upgrade", revisions, 0, end, converge=True
    )


def remove_job(target: str) -> Job:
    """Return the job of `constraints --remove`."""
    removable = [r for r in history(target) if r.removable][::-1]
    return Job(target, "constraints --remove", "downgrade", removable, 0, 0, converge=True)


def due(job: Job, revision: Revision) -> str:
    """Return the condition, in psql, on which a revision runs."""
    number = position(job.target, revision.id)
    if job.down or (job.converge and number <= job.goal):
        return "true"
    if job.converge:
        return f":aoc_position >= {number}"
    return "true" if puts_back(revision) else unmoved(job, revision)


def puts_back(revision: Revision) -> bool:
    """Return whether an upgrade puts back what an applied revision has lost: constraints, indexes, links.

    Links are lost where a downgrade ended half way.
    """
    return revision.removable or revision.part in (Part.CHAIN_INDEX, Part.CHAIN)


def unmoved(job: Job, revision: Revision) -> str:
    """Return the condition, in psql, that the job has yet to move the version across a revision."""
    return f":aoc_position {'>=' if job.down else '<'} {position(job.target, revision.id)}"


def stamp(job: Job, revision: Revision) -> str:
    """Return the statement that moves the version after ``revision``, or nothing if the job does not move it."""
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
