"""`aoc-migrate journal`."""

import click

from aoc_migrate.cli import common, opts


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[drop] [TARGET]")
@opts.connection_options
@opts.output_options
@click.pass_context
def journal(
    ctx: click.Context, words: tuple[str, ...], allow_session_pooler: bool, form: str, output: str | None
) -> None:
    """Show how many links the journal could set back; `journal drop` empties it.

    The journal holds the old supersedes links that the backfill and `chain --apply` replaced. Dropping it
    frees its space, and ends the way back on purpose: a downgrade then leaves the links as they are.

    \b
    aoc-migrate journal concelier
    aoc-migrate journal drop concelier
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.chain import run_journal

    drop = "drop" in words
    names, _ = common.target_words(ctx, tuple(w for w in words if w != "drop"), revision=False)
    targets = choose_targets(names)
    if drop and len(targets) > 1:
        raise click.UsageError("Several targets are configured: name one.")
    common.run(
        "journal",
        targets,
        common.make_options(allow_session_pooler=allow_session_pooler),
        lambda session, report: run_journal(session, report, drop),
        form,
        output,
    )
