"""`aoc-migrate repair`."""

import click

from aoc_migrate.cli.command import Run, TargetCommand
from aoc_migrate.cli.row_options import ROW_OPTIONS, show_apply_or_restore


@click.command(cls=TargetCommand, shared=ROW_OPTIONS)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    help="A finding of the audit whose rows are repaired, or all; may be repeated.",
)
def repair(run: Run, rules: tuple[str, ...], apply: bool, restore: bool, run_number: int | None) -> None:
    """Show rows that break a rule and what would become of them; --apply repairs or moves them.

    A row is repaired where nothing is lost: a blank or missing key is taken from the field of the envelope that
    repeats it, forbidden keys leave the top level of the envelope, a JSON null becomes NULL. The original goes
    into quarantine (TABLE_quarantine). A row that cannot be repaired moves there. --restore puts every row back
    exactly as it was.

    \b
    RULE is one of
      blank-key         a key column is empty or white space
      null-key          a column of the idempotency key is NULL
      missing-required  a required column is NULL, or no JSON object
      not-an-object     content or identifiers is JSON, but no object
      forbidden-key     a forbidden key at the top level of a JSON column
      derived-key       the same for effective_*
      key-too-long      the key does not fit into an index
      time-not-finite   a time of the key is infinite
      all               all of them

    \b
    aoc-migrate repair concelier
    aoc-migrate repair concelier --rule blank-key --rule null-key --apply
    aoc-migrate repair concelier --rule all --apply
    aoc-migrate repair concelier --restore
    """
    from aoc_migrate.quarantine.repair import RepairOptions, run_repair

    if rules and restore:
        raise click.UsageError("--restore puts back whole runs: it goes with --run, not with --rule.")
    if apply and not rules:
        raise click.UsageError("--apply needs the rules: --rule NAME, or --rule all.")
    options = RepairOptions.of(rules, run.options.limit)
    show_apply_or_restore(
        run,
        lambda session, report: run_repair(session, report, options, apply=apply),
        apply=apply,
        restore=restore,
        run_number=run_number,
    )
