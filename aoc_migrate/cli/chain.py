"""`aoc-migrate chain`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option(
    "--apply", is_flag=True, help="Link the rows anew (needs AOC_ALLOW_SUPERSEDES_RETROFIT=true), or drop."
)
@click.option(
    "--drop-journal", is_flag=True, help="Show how many links the journal holds; with --apply, drop them."
)
@opts.accept_option
@opts.batch_options()
@opts.waiting_options
@opts.limit_option
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def chain(
    ctx: click.Context,
    words: tuple[str, ...],
    apply: bool,
    drop_journal: bool,
    accept: "Accepted",
    limit: int,
    allow_session_pooler: bool,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Show rows whose supersedes link is late or broken; with --apply, link them anew.

    Writes to the same journal as the backfill, so a downgrade takes it back. The journal holds the old links;
    to drop it frees its space and ends that way back: a downgrade then leaves the links as they are.

    \b
    aoc-migrate chain concelier
    AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain concelier --apply
    aoc-migrate chain concelier --drop-journal
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.chain import run_chain, run_drop_journal

    names, _ = common.target_words(ctx, words, revision=False)
    targets = choose_targets(names)
    if drop_journal and apply and len(targets) > 1:
        raise click.UsageError("Several targets are configured: name one.")
    common.run(
        "chain",
        targets,
        common.make_options(
            limit, allow_session_pooler, deadline, lock_wait, show_queries=show_queries, accept=accept
        ),
        (lambda session, report: run_drop_journal(session, report, apply))
        if drop_journal
        else (lambda session, report: run_chain(session, report, limit, apply)),
        form,
        output,
        stop_at_error=apply,
    )
