"""`aoc-migrate status`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import METRICS, POOLER


@click.command(cls=TargetCommand, shared=(*METRICS, POOLER))
def status(run: Run) -> None:
    """Show the state of a target: revision, pending revisions, rules, indexes, hold, lock, builds, journal.

    Exits 0 even if the target is not at head; `verify --require-head` checks that.

    \b
    aoc-migrate status concelier
    """
    from aoc_migrate.run.status import run_status

    run.verb(run_status)
