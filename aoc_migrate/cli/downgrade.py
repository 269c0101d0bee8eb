"""`aoc-migrate downgrade`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET] REVISION")
@click.option("--all", "every", is_flag=True, help="All configured targets.")
@opts.accept_option
@opts.stall_option
@opts.batch_options()
@opts.waiting_options
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def downgrade(
    ctx: click.Context,
    words: tuple[str, ...],
    every: bool,
    accept: "Accepted",
    allow_session_pooler: bool,
    max_stall: float,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Undo revisions, down to REVISION (an id, -1, or base), and hold there.

    A hold keeps restarting pods from going up again; `aoc-migrate upgrade --release-hold` ends it. An
    interrupted downgrade is resumed by the same command. Raw tables and rows are never dropped.

    \b
    aoc-migrate downgrade -1
    aoc-migrate downgrade concelier concelier_0004
    aoc-migrate downgrade excititor base
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.rollback import acknowledge, run_downgrade

    names, revision = common.target_words(ctx, words, revision=True)
    if revision is None:
        raise click.UsageError("Missing REVISION: -1, a revision id, or base.")
    targets = choose_targets(names)
    if len(targets) > 1 and not every:
        raise click.UsageError("Several targets are configured: name one, or say --all.")
    options = common.make_options(200, allow_session_pooler, deadline, lock_wait, max_stall, show_queries, accept)
    common.run(
        "downgrade",
        targets,
        options,
        lambda session, report: run_downgrade(session, report, revision),
        form,
        output,
        stop_at_error=True,
        acknowledge=lambda target: acknowledge(target, options, revision),
    )
