"""`aoc-migrate history`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import POOLER
from aoc_migrate.cli.param_types import RUN_NUMBER


@click.command(cls=TargetCommand, shared=(POOLER,))
@click.option("--run", "run_number", type=RUN_NUMBER, help="Show this run and its steps, with times.")
@click.option(
    "--limit",
    "runs",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="How many runs to show.",
)
def history(run: Run, run_number: int | None, runs: int) -> None:
    """Show the ledger: who ran what, when, for how long, and how it ended. Newest first.

    The ledger records every run that changes something, including failed and interrupted ones.

    \b
    aoc-migrate history concelier
    aoc-migrate history concelier --run 3 -v
    """
    from aoc_migrate.run.history import run_history

    run.verb(lambda session, report: run_history(session, report, runs, run_number))
