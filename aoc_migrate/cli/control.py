"""`aoc-migrate control`."""

from typing import Any

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, POOLER
from aoc_migrate.cli.steering_options import STEERING, settings_of


@click.command(cls=TargetCommand, shared=(*STEERING, ACCEPT, POOLER))
def control(run: Run, stop_after: str | None, **asked: Any) -> None:
    """Show the run that is under way, and what is asked of it; pause it, resume it, or change its pace.

    For upgrade, downgrade, constraints --remove, repair, dedupe or chain --apply in another terminal or pod. The
    run reads what is asked once a second, and obeys between batches, tries and steps. What is asked ends with the
    run, and stays in the ledger. To change a run, you need the rights of the tables' owner; to see it, those of a
    reader.

    \b
    aoc-migrate control concelier
    aoc-migrate control concelier --pause
    aoc-migrate control concelier --resume --pace 20%
    aoc-migrate control concelier --pause-before-strong
    aoc-migrate control concelier --continue
    aoc-migrate control concelier --stop-after concelier_0006
    """
    from aoc_migrate.run.control import ControlOptions, run_control

    options = ControlOptions(settings_of(asked), stop_after)
    run.only(unless=not options.changes)
    run.verb(lambda session, report: run_control(session, report, options))
