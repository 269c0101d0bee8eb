"""`aoc-migrate dedupe`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.row_options import ROW_OPTIONS, show_apply_or_restore


@click.command(cls=TargetCommand, shared=ROW_OPTIONS)
@click.option(
    "--keep",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Which row of each group stays, by retrieved_at.",
)
@click.option("--include-different", is_flag=True, help="Also move groups whose rows differ.")
def dedupe(
    run: Run, keep: str, include_different: bool, apply: bool, restore: bool, run_number: int | None
) -> None:
    """Show duplicate rows and what would happen to them; --apply moves the surplus to quarantine.

    One row of each group stays, unchanged. A group whose rows differ in more than the fetch time stays as it is,
    without --include-different. Rows that supersede a moved row are linked to the one that stays. A row leaves
    the table in the same transaction that puts it in quarantine (TABLE_quarantine). --restore shows the latest
    run of dedupe or repair; with --apply, it puts the rows of that run back, links included.

    \b
    aoc-migrate dedupe concelier
    aoc-migrate dedupe concelier --apply
    aoc-migrate dedupe concelier --restore
    aoc-migrate dedupe concelier --restore --run 3 --apply
    """
    from aoc_migrate.quarantine.dedupe import DedupeOptions, run_dedupe

    if restore and (include_different or keep != "earliest"):
        raise click.UsageError(
            "--restore restores whole runs: use --run instead of --keep or --include-different."
        )
    options = DedupeOptions(keep, include_different, run.options.limit)
    show_apply_or_restore(
        run,
        lambda session, report: run_dedupe(session, report, options, apply=apply),
        apply=apply,
        restore=restore,
        run_number=run_number,
    )
