"""`aoc-migrate verify`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import AGE, not_empty

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option("--since", type=AGE, help="Only chains with a revision stored so recently (24h).")
@click.option("--tenant", callback=not_empty, help="Only this tenant's chains.")
@click.option("--probe", is_flag=True, help="Also try one bad row per rule, in a transaction rolled back.")
@opts.accept_option
@opts.limit_option
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def verify(
    ctx: click.Context,
    words: tuple[str, ...],
    since: float | None,
    tenant: str | None,
    probe: bool,
    accept: "Accepted",
    limit: int,
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """Check that the contract stands: constraints, indexes, view, and the chain of every row.

    Read-only (but for --probe), and fit for a role that may only read.

    \b
    aoc-migrate verify
    aoc-migrate verify concelier --since 24h
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.verify import VerifyOptions, run_verify

    names, _ = common.target_words(ctx, words, revision=False)
    chosen = VerifyOptions(limit, tenant, since, probe)
    common.run(
        "verify",
        choose_targets(names),
        common.make_options(limit, allow_session_pooler, accept=accept),
        lambda session, report: run_verify(session, report, chosen),
        form,
        output,
    )
