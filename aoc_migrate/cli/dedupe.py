"""`aoc-migrate dedupe`."""

import click

from aoc_migrate.cli import common, opts


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="TARGET")
@click.option("--apply", is_flag=True, help="Move the surplus rows into quarantine.")
@click.option("--restore", is_flag=True, help="Put quarantined rows back exactly as they were.")
@click.option("--run", "run_number", type=click.IntRange(min=1), help="With --restore: the rows of this run only.")
@click.option(
    "--keep",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Which row of a group stays, by retrieved_at.",
)
@click.option("--include-different", is_flag=True, help="Move rows too that differ from the one that stays.")
@click.option("--allow-triggers", multiple=True, metavar="NAME", help="A trigger that moving rows may fire.")
@opts.waiting_options
@opts.limit_option
@opts.jobs_option
@opts.connection_options
@opts.output_options
@click.pass_context
def dedupe(
    ctx: click.Context,
    words: tuple[str, ...],
    apply: bool,
    restore: bool,
    run_number: int | None,
    keep: str,
    include_different: bool,
    allow_triggers: tuple[str, ...],
    limit: int,
    allow_session_pooler: bool,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
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
    from aoc_migrate.database.settings import choose_targets
    from aoc_migrate.run.dedupe import DedupeOptions, run_dedupe, run_restore

    names, _ = common.target_words(ctx, words, revision=False)
    targets = choose_targets(names)
    if (apply and restore) or (run_number is not None and not restore):
        raise click.UsageError("--apply and --restore exclude each other, and --run goes with --restore.")
    if (apply or restore) and len(targets) > 1:
        raise click.UsageError("Several targets are configured: name one.")
    chosen = DedupeOptions(keep, include_different, limit, allow_triggers)
    common.run(
        "dedupe",
        targets,
        common.make_options(limit, allow_session_pooler, deadline, lock_wait, show_queries=show_queries),
        lambda session, report: (
            run_restore(session, report, run_number, chosen)
            if restore
            else run_dedupe(session, report, chosen, apply=apply)
        ),
        form,
        output,
        stop_at_error=apply or restore,
    )
