"""The options of `dedupe` and `repair`, and their modes: show or --apply, forth or back (--restore)."""

from typing import TYPE_CHECKING, NoReturn

import click

from aoc_migrate.cli.options import ACCEPT, LIMIT, POOLER, WAITING, Shared, batches
from aoc_migrate.cli.param_types import RUN_NUMBER

if TYPE_CHECKING:
    from aoc_migrate.cli.call import Run
    from aoc_migrate.run.target_run import Verb

APPLY = Shared("--apply", is_flag=True, help="Make the changes; without it, nothing changes.")
RESTORE = Shared(
    "--restore",
    is_flag=True,
    help="Show the latest run of dedupe or repair; with --apply, put its rows back exactly as they were.",
)
RUN = Shared("--run", "run_number", type=RUN_NUMBER, help="With --restore: this run instead of the latest.")
ROW_OPTIONS = (APPLY, RESTORE, RUN, ACCEPT, *WAITING, *batches(500, 500), LIMIT, POOLER)


def show_apply_or_restore(
    run: "Run", verb: "Verb", *, apply: bool, restore: bool, run_number: int | None
) -> NoReturn:
    """Run ``verb``, which shows or applies, or restore a run of either command."""
    from aoc_migrate.quarantine.restore import run_restore

    if run_number is not None and not restore:
        raise click.UsageError("--run needs --restore.")
    run.only(unless=not (apply or restore))
    if restore:
        run.verb(
            lambda session, report: run_restore(session, report, run.command, run_number, apply=apply), stops=apply
        )
    run.verb(verb, stops=apply)
