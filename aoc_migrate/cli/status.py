"""`aoc-migrate status`."""

import click

from aoc_migrate.cli import common, opts


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def status(
    ctx: click.Context, words: tuple[str, ...], allow_session_pooler: bool, form: str, output: str | None
) -> None:
    """Tell where a target stands: revision, pending, rules guarded or proven, hold, lock, running build, journal.

    Exits 0 when it could tell; being behind is no error here (see verify).

    \b
    aoc-migrate status concelier
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.status import run_status

    names, _ = common.target_words(ctx, words, revision=False)
    options = common.make_options(allow_session_pooler=allow_session_pooler)
    common.run("status", choose_targets(names), options, run_status, form, output)
