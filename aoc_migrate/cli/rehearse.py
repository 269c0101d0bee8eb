"""`aoc-migrate rehearse`."""

from dataclasses import replace

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, LIMIT, MAX_STALL, METRICS, POOLER, WAITING, batches
from aoc_migrate.cli.param_types import SIZE


@click.command(cls=TargetCommand, shared=(ACCEPT, MAX_STALL, *WAITING, *batches(), LIMIT, *METRICS, POOLER))
@click.option(
    "--copy",
    metavar="URL",
    help="URL of the copy. AOC_COPY_URL or AOC_COPY_URL_FILE keeps it private; AOC_COPY_PASSWORD or "
    "AOC_COPY_PASSWORD_FILE has the password of a URL without one.",
)
@click.option("--copy-is", required=True, metavar="DATABASE", help="Name of the database that the URL leads to.")
@click.option("--no-second-upgrade", is_flag=True, help="Leave the copy as the downgrade left it, under a hold.")
@click.option(
    "--free-space",
    type=SIZE,
    metavar="SIZE",
    help="Free disk space for the copy, such as 20GB; refuse if the rehearsal needs more.",
)
def rehearse(run: Run, copy: str | None, copy_is: str, no_second_upgrade: bool, free_space: int | None) -> None:
    """Upgrade a restored copy of TARGET, go back to where it was, compare, and upgrade it again.

    Audits, upgrades and verifies the copy, downgrades it, and compares every object and every row with what
    was there before. Reports time, longest stall, WAL and growth of each step. Schema and owner are those of
    TARGET. Refuses the databases that are configured. After an interruption, run it again: it goes on where it
    stopped.

    \b
    export AOC_COPY_URL=postgresql://stella@restored/concelier_copy
    aoc-migrate rehearse concelier --copy-is concelier_copy
    aoc-migrate rehearse concelier --copy-is concelier_copy --free-space 20GB --no-second-upgrade
    """
    from aoc_migrate.database.targets import read_copy
    from aoc_migrate.run.rehearse import RehearseOptions, rehearse_on

    if len(run.names) != 1:
        raise click.UsageError("Name one target: the one that the copy is of.")
    options = RehearseOptions(copy_is, not no_second_upgrade, free_space, url_typed=copy is not None)
    run = replace(run, elsewhere=read_copy(run.names[0], copy))
    run.work(lambda run, target: rehearse_on(target, run.options, options))
