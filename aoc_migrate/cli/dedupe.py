"""`aoc-migrate dedupe`."""

from typing import Any

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.moving import move, moving_options


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@moving_options
@click.option(
    "--keep",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Which row of a group stays, by retrieved_at.",
)
@click.option("--include-different", is_flag=True, help="Move rows too that differ from the one that stays.")
@opts.batch_options(500)
@opts.waiting_options
@opts.limit_option
@opts.connection_options
@opts.output_options
@click.pass_context
def dedupe(
    ctx: click.Context, /, words: tuple[str, ...], keep: str, include_different: bool, **options: Any
) -> None:
    """Show duplicate rows and what would become of them; --apply moves the surplus into quarantine.

    One row of each group stays, untouched. Rows that named a moved one as superseded name the one that stays.
    No row is deleted without being in quarantine (TABLE_quarantine) in the same transaction, and --restore
    puts all of it back, links too.

    \b
    aoc-migrate dedupe concelier
    aoc-migrate dedupe concelier --apply
    aoc-migrate dedupe concelier --restore --run 3
    """
    from aoc_migrate.quarantine.dedupe import DedupeOptions, run_dedupe

    chosen = DedupeOptions(keep, include_different, options["limit"])
    move(ctx, words, lambda session, report, apply: run_dedupe(session, report, chosen, apply=apply), **options)
