"""`aoc-migrate constraints`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option("--remove", is_flag=True, help="Drop the constraints and the idempotency index.")
@click.option("--all", "every", is_flag=True, help="All configured targets.")
@opts.accept_option
@opts.stall_option
@opts.waiting_options
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def constraints(
    ctx: click.Context,
    words: tuple[str, ...],
    remove: bool,
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
    """Remove the constraints in the hour when ingestion breaks (--remove); without it, show them.

    Drops CHECKs, our NOT NULLs and the idempotency index with bounded stalls. Chain and view stay, and so
    does the revision. Leaves a hold; `aoc-migrate upgrade --release-hold` puts everything back. Turn the
    services' guard off first: AOC_GUARD_ENABLED=false.

    \b
    aoc-migrate constraints concelier --remove
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.rollback import run_remove_constraints
    from aoc_migrate.run.status import run_status

    names, _ = common.target_words(ctx, words, revision=False)
    targets = choose_targets(names)
    if remove and len(targets) > 1 and not every:
        raise click.UsageError("Several targets are configured: name one, or say --all.")
    common.run(
        "constraints",
        targets,
        common.make_options(200, allow_session_pooler, deadline, lock_wait, max_stall, show_queries, accept),
        run_remove_constraints if remove else run_status,
        form,
        output,
        stop_at_error=remove,
    )
