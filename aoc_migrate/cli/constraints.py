"""`aoc-migrate constraints`."""

import click

from aoc_migrate.cli.command import Run, TargetCommand
from aoc_migrate.cli.options import ACCEPT, ALL_TARGETS, MAX_STALL, METRICS, POOLER, WAITING


@click.command(cls=TargetCommand, shared=(ALL_TARGETS, ACCEPT, MAX_STALL, *WAITING, *METRICS, POOLER))
@click.option("--remove", is_flag=True, help="Drop the constraints and the idempotency index.")
def constraints(run: Run, remove: bool, all_targets: bool) -> None:
    """Remove the constraints in the hour when ingestion breaks (--remove); without it, show them.

    Drops CHECKs, our NOT NULLs and the idempotency index with bounded stalls. Chain, view and revision stay.
    Leaves a hold; `aoc-migrate upgrade --release-hold` puts everything back. Turn the services' guard off first:
    AOC_GUARD_ENABLED=false.

    \b
    aoc-migrate constraints concelier --remove
    """
    from aoc_migrate.run.rollback import run_remove_constraints
    from aoc_migrate.run.status import run_status

    run.only(unless=all_targets or not remove, hint="name one, or say --all")
    run.verb(run_remove_constraints if remove else run_status, stops=remove)
