"""`aoc-migrate downgrade`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, ALL_TARGETS, MAX_STALL, METRICS, POOLER, WAITING, batches


@click.command(
    cls=TargetCommand,
    revision="REVISION",
    shared=(ALL_TARGETS, ACCEPT, MAX_STALL, *WAITING, *batches(), *METRICS, POOLER),
)
def downgrade(run: Run, all_targets: bool) -> None:
    """Undo revisions down to REVISION (an id, -1, or base), then hold the database there.

    The hold keeps restarting pods from upgrading again; `aoc-migrate upgrade --release-hold` ends it. To resume
    an interrupted downgrade, run the same command again. Raw tables and rows are never dropped.

    \b
    aoc-migrate downgrade -1
    aoc-migrate downgrade concelier concelier_0004
    aoc-migrate downgrade excititor base
    """
    from aoc_migrate.run.rollback import acknowledge, run_downgrade

    revision = run.revision
    if revision is None:
        raise click.UsageError("Missing REVISION: -1, a revision id, or base.")
    run.one_or_all(all_targets).work(
        lambda run, target: run.report(lambda session, report: run_downgrade(session, report, revision), target),
        stops=True,
        reported=lambda target: acknowledge(target, run.options, revision),
    )
