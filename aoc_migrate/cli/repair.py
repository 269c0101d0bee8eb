"""`aoc-migrate repair`."""

from typing import Any

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.row_options import ROW_OPTIONS, show_apply_or_restore


def _rules(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    from aoc_migrate.quarantine.repair_rules import RULES

    return [rule for rule in (*RULES, "all") if rule.startswith(incomplete)]


@click.command(cls=TargetCommand, shared=ROW_OPTIONS)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    shell_complete=_rules,
    help="The audit finding whose rows to repair, or all. May be repeated.",
)
def repair(run: Run, rules: tuple[str, ...], apply: bool, restore: bool, run_number: int | None) -> None:
    """Show rows that break a rule and what would happen to them; --apply repairs or moves them.

    A row is repaired if nothing is lost: a blank or missing key is copied from the envelope field that repeats
    it, forbidden keys are removed from the top level of the envelope, a JSON null becomes NULL. The original goes
    to quarantine (TABLE_quarantine). A row that cannot be repaired moves there. --restore shows the latest run
    of repair or dedupe; with --apply, it puts every row of that run back exactly as it was.

    \b
    RULE is one of
      blank-key         a key column is empty or white space
      null-key          a column of the idempotency key is NULL
      missing-required  a required column is NULL, or not a JSON object
      not-an-object     content or identifiers is JSON, but not an object
      forbidden-key     a forbidden key at the top level of a JSON column
      derived-key       the same for effective_*
      key-too-long      the key does not fit in an index
      time-not-finite   retrieved_at is infinite
      all               all of them

    \b
    aoc-migrate repair concelier
    aoc-migrate repair concelier --rule blank-key --rule null-key --apply
    aoc-migrate repair concelier --rule all --apply
    aoc-migrate repair concelier --restore
    aoc-migrate repair concelier --restore --run 3 --apply
    """
    from aoc_migrate.quarantine.repair import RepairOptions, run_repair

    if rules and restore:
        raise click.UsageError("--restore restores whole runs: use --run instead of --rule.")
    if apply and not rules and not restore:
        raise click.UsageError("--apply needs --rule RULE or --rule all.")
    options = RepairOptions.of(rules, run.options.limit)
    show_apply_or_restore(
        run,
        lambda session, report: run_repair(session, report, options, apply=apply),
        apply=apply,
        restore=restore,
        run_number=run_number,
    )
