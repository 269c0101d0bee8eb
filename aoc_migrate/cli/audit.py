"""`aoc-migrate audit`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@opts.accept_option
@opts.limit_option
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def audit(
    ctx: click.Context,
    words: tuple[str, ...],
    accept: "Accepted",
    limit: int,
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """Find what would stop an upgrade. Read-only.

    Looks at every row: required fields, forbidden keys, duplicates of the idempotency key, links that the
    backfill would write; and at what stands in the way of the view swap. Exits 1 when something does.

    \b
    aoc-migrate audit concelier
    aoc-migrate audit --format json --output audit.json
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.audit import run_audit

    names, _ = common.target_words(ctx, words, revision=False)
    options = common.make_options(limit, allow_session_pooler, accept=accept)
    common.run(
        "audit",
        choose_targets(names),
        options,
        lambda session, report: run_audit(session, report, limit),
        form,
        output,
    )
