"""`aoc-migrate upgrade`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET] [REVISION]")
@click.option("--release-hold", is_flag=True, help="Go on after a rollback, which holds plain upgrades still.")
@click.option("--no-create", is_flag=True, help="Do not create a missing raw table; exit 3 instead.")
@opts.accept_option
@click.option(
    "--evidence",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Leave plan, audit, run and verify reports and the SQL that ran in a new folder there.",
)
@opts.stall_option
@opts.batch_options()
@opts.waiting_options
@opts.limit_option
@opts.connection_options
@opts.metrics_options
@opts.output_options
@click.pass_context
def upgrade(
    ctx: click.Context,
    words: tuple[str, ...],
    release_hold: bool,
    no_create: bool,
    accept: "Accepted",
    evidence: str | None,
    limit: int,
    allow_session_pooler: bool,
    max_stall: float,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Audit, migrate online, put back what is missing, and verify. Safe to run at every pod start.

    REVISION is an id, head (the default) or relative (+1). Run again after an interruption, it goes on where
    it stopped. Where rows need a supersedes link, AOC_ALLOW_SUPERSEDES_RETROFIT=true must be set.

    \b
    aoc-migrate upgrade concelier
    aoc-migrate upgrade concelier concelier_0004
    aoc-migrate upgrade --max-stall 50ms --deadline 30m
    aoc-migrate upgrade --evidence /var/tmp/CHG-1234
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.upgrade import UpgradeOptions, run_upgrade

    names, revision = common.target_words(ctx, words, revision=True)
    chosen = UpgradeOptions(revision or "head", release_hold, no_create, limit)
    targets = choose_targets(names)
    options = common.make_options(
        limit, allow_session_pooler, deadline, lock_wait, max_stall, show_queries, accept
    )
    if evidence is None:
        common.run(
            "upgrade",
            targets,
            options,
            lambda session, report: run_upgrade(session, report, chosen),
            form,
            output,
            stop_at_error=True,
        )
        return
    from aoc_migrate.run.evidence import evidence_in

    with evidence_in(evidence) as kept:
        common.run(
            "upgrade",
            targets,
            options,
            lambda session, report: kept.upgrade(session, report, chosen),
            form,
            output,
            stop_at_error=True,
            reported=lambda target, report: kept.close_run(target, options, report),
        )
