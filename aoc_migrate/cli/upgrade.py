"""`aoc-migrate upgrade`."""

from typing import TYPE_CHECKING

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, LIMIT, MAX_STALL, METRICS, POOLER, WAITING, batches

if TYPE_CHECKING:
    from aoc_migrate.run.approved_plan import ApprovedPlan


@click.command(
    cls=TargetCommand,
    revision="[REVISION]",
    shared=(ACCEPT, MAX_STALL, *WAITING, *batches(), LIMIT, *METRICS, POOLER),
)
@click.option("--release-hold", is_flag=True, help="Upgrade even though a rollback holds the database.")
@click.option("--no-create", is_flag=True, help="Do not create a missing raw table; exit 3 instead.")
@click.option(
    "--plan",
    "approved",
    type=click.Path(),
    metavar="FILE",
    help="Run what this plan says, or nothing. FILE is the JSON of plan for this database.",
)
@click.option(
    "--evidence",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write the plan, audit, run and verify reports and the SQL that ran to new folders in DIR.",
)
def upgrade(run: Run, release_hold: bool, no_create: bool, approved: str | None, evidence: str | None) -> None:
    """Audit, migrate online, restore what is missing, and verify. Safe to run at every pod start.

    REVISION is an id, head (the default) or relative (+1). After an interruption, run it again: it resumes where
    it stopped. If rows need a supersedes link, set AOC_ALLOW_SUPERSEDES_RETROFIT=true. With --plan, nothing
    but the approved plan runs: if the database has changed since, nothing does.

    \b
    aoc-migrate upgrade concelier
    aoc-migrate upgrade concelier concelier_0004
    aoc-migrate upgrade concelier --plan plan.json
    aoc-migrate upgrade --max-stall 50ms --deadline 30m
    aoc-migrate upgrade --evidence /var/tmp/CHG-1234
    """
    from aoc_migrate.run.upgrade import UpgradeOptions, run_upgrade

    plan = _approved(run, approved) if approved is not None else None
    revision = (plan.to_revision or "base") if plan else run.revision or "head"
    options = UpgradeOptions(revision, release_hold, no_create, run.options.limit, plan)
    if evidence is None:
        run.verb(lambda session, report: run_upgrade(session, report, options), stops=True)
    from aoc_migrate.run.evidence import upgrade_with_evidence
    from aoc_migrate.run.evidence_folder import evidence_folder

    folder = evidence_folder(evidence)
    run.work(lambda run, target: upgrade_with_evidence(folder, target, run.options, options), stops=True)


def _approved(run: Run, file: str) -> "ApprovedPlan":
    from aoc_migrate.run.approved_plan import read_plan

    return read_plan(file, run.only().name, run.revision)
