"""`aoc-migrate history`."""

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import RUN


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option("--run", "run_number", type=RUN, help="Show the steps of this run, with times.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="Most runs shown.")
@opts.connection_options
@opts.output_options
@click.pass_context
def history(
    ctx: click.Context,
    words: tuple[str, ...],
    run_number: int | None,
    limit: int,
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """Show the ledger: who ran what, when, for how long, with what outcome. Newest first.

    Every run that changes something is in it, also those that failed or were interrupted.

    \b
    aoc-migrate history concelier
    aoc-migrate history concelier --run 3 --format markdown
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.history import run_history

    names, _ = common.target_words(ctx, words, revision=False)
    common.run(
        "history",
        choose_targets(names),
        common.make_options(allow_session_pooler=allow_session_pooler),
        lambda session, report: run_history(session, report, limit, run_number),
        form,
        output,
    )
