"""`aoc-migrate repair`."""

from typing import Any

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.moving import move, moving_options


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    help="A finding of the audit whose rows are repaired, or all; may be repeated.",
)
@moving_options
@opts.batch_options(500)
@opts.waiting_options
@opts.limit_option
@opts.connection_options
@opts.output_options
@click.pass_context
def repair(ctx: click.Context, /, words: tuple[str, ...], rules: tuple[str, ...], **options: Any) -> None:
    """Show rows that break a rule and what would become of them; --apply repairs or moves them.

    A row is repaired where nothing is lost by it: a blank or missing key is taken from the field of the envelope
    that repeats it, forbidden keys go from the top level of the envelope, a JSON null where NULL is meant
    becomes that. Its original is kept in quarantine (TABLE_quarantine). What cannot be repaired moves there.
    --restore puts every row back exactly as it was.

    \b
    RULE is one of
      blank-key         a key column is empty or white space
      null-key          a column of the idempotency key is NULL
      missing-required  a required column is NULL, or no JSON object
      not-an-object     content or identifiers is JSON, but no object
      forbidden-key     a forbidden key at the top level of a JSON column
      derived-key       the same for effective_*
      key-too-long      the key does not fit into an index
      all               all of them

    \b
    aoc-migrate repair concelier
    aoc-migrate repair concelier --rule blank-key --rule null-key --apply
    aoc-migrate repair concelier --rule all --apply
    aoc-migrate repair concelier --restore
    """
    from aoc_migrate.quarantine.repair import RepairOptions, run_repair
    from aoc_migrate.quarantine.repair_rules import RULES

    for rule in rules:
        if rule not in (*RULES, "all"):
            raise click.UsageError(f"No such rule: {rule}. Rules are {', '.join(RULES)}, and all.")
    if rules and options["restore"]:
        raise click.UsageError("--restore puts back whole runs: it goes with --run, not with --rule.")
    if options["apply"] and not rules:
        raise click.UsageError("--apply wants to know which rules: --rule NAME, or --rule all.")
    named = () if "all" in rules else rules
    chosen = RepairOptions(named, options["limit"])
    move(ctx, words, lambda session, report, apply: run_repair(session, report, chosen, apply=apply), **options)
