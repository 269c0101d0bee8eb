"""`aoc-migrate quarantine`."""

import click

from aoc_migrate.cli import common, opts


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@opts.limit_option
@opts.connection_options
@opts.output_options
@click.pass_context
def quarantine(
    ctx: click.Context,
    words: tuple[str, ...],
    limit: int,
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """List what is in quarantine: how many rows of which run, why, and a sample of ids.

    The rows themselves stay in the database, readable by the raw table's owner alone.

    \b
    aoc-migrate quarantine concelier
    """
    from aoc_migrate.database.settings import choose_targets
    from aoc_migrate.run.quarantine import run_quarantine

    names, _ = common.target_words(ctx, words, revision=False)
    common.run(
        "quarantine",
        choose_targets(names),
        common.make_options(limit, allow_session_pooler),
        lambda session, report: run_quarantine(session, report, limit),
        form,
        output,
    )
