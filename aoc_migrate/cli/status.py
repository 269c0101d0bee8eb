"""`aoc-migrate status`."""

import click

from aoc_migrate.cli.command import Run, TargetCommand
from aoc_migrate.cli.options import METRICS, POOLER


@click.command(cls=TargetCommand, shared=(*METRICS, POOLER))
def status(run: Run) -> None:
    """Show where a target is: revision, pending, rules guarded or proven, hold, lock, running build, journal.

    Exits 0 when it could find out; to be behind is no error here (see verify).

    \b
    aoc-migrate status concelier
    """
    from aoc_migrate.run.status import run_status

    run.verb(run_status)
