"""`aoc-migrate constraints`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, ALL_TARGETS, MAX_STALL, METRICS, POOLER, WAITING


@click.command(cls=TargetCommand, shared=(ALL_TARGETS, ACCEPT, MAX_STALL, *WAITING, *METRICS, POOLER))
@click.option("--remove", is_flag=True, help="Drop the constraints and the idempotency index.")
def constraints(run: Run, remove: bool, all_targets: bool) -> None:
    """Remove the constraints when they break ingestion (--remove); without it, show them.

    Drops the CHECKs, the NOT NULLs that upgrade set and the idempotency index, with bounded stalls. Keeps chain,
    view and revision. Leaves a hold, unless there was nothing to remove; `aoc-migrate upgrade --release-hold`
    restores everything. Turn off the services' guard first: AOC_GUARD_ENABLED=false.

    \b
    aoc-migrate constraints concelier --remove
    """
    from aoc_migrate.run.rollback import run_remove_constraints
    from aoc_migrate.run.status import run_status

    if remove or all_targets:
        run = run.one_or_all(all_targets)
    run.verb(run_remove_constraints if remove else run_status, stops=remove)
