"""`aoc-migrate chain`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, LIMIT, METRICS, POOLER, WAITING, batches


@click.command(cls=TargetCommand, shared=(ACCEPT, *WAITING, *batches(), LIMIT, *METRICS, POOLER))
@click.option(
    "--drop-journal", is_flag=True, help="Show how many links are in the journal; with --apply, delete them."
)
@click.option("--apply", is_flag=True, help="Make the change; linking needs AOC_ALLOW_SUPERSEDES_RETROFIT=true.")
def chain(run: Run, drop_journal: bool, apply: bool) -> None:
    """Show rows whose supersedes link is late or broken; with --apply, link them again.

    A downgrade restores the old links from the backfill's journal. --drop-journal deletes its rows, whose
    space the next vacuum frees; after that, a downgrade leaves the links as they are.

    \b
    aoc-migrate chain concelier
    AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain concelier --apply
    aoc-migrate chain concelier --drop-journal --apply
    """
    from aoc_migrate.run.chain import run_chain, run_drop_journal

    if drop_journal:
        run.only(unless=not apply)
        run.verb(lambda session, report: run_drop_journal(session, report, apply), stops=apply)
    run.verb(lambda session, report: run_chain(session, report, run.options.limit, apply), stops=apply)
