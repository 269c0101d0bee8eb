"""`aoc-migrate wait`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.param_types import DURATION


@click.command(cls=TargetCommand)
@click.option(
    "--timeout",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How long to wait before giving up (exit 3).",
)
def wait(run: Run, timeout: float) -> None:
    """Wait until the database answers and is at head, or is held by a finished rollback.

    For services that must not start before the migration is done. Needs SELECT on aoc_alembic_version, and on
    aoc_migration_hold to see a hold. Prints on stderr which revision it waits for and who runs it.

    \b
    aoc-migrate wait concelier --timeout 5m
    """
    from aoc_migrate.run.wait import run_wait

    run.work(lambda run, target: run_wait(target, run.options, timeout))
