"""`aoc-migrate audit`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, LIMIT, METRICS, POOLER


@click.command(cls=TargetCommand, shared=(ACCEPT, LIMIT, *METRICS, POOLER))
def audit(run: Run) -> None:
    """Find what would stop an upgrade. Read-only.

    Reads every row and checks required fields, forbidden keys, duplicates of the idempotency key, and the links
    that the backfill would write. Also checks the view swap. Exits 1 if anything would stop the upgrade.

    \b
    aoc-migrate audit concelier
    aoc-migrate audit --format json --output audit.json
    """
    from aoc_migrate.run.audit import run_audit

    run.verb(lambda session, report: run_audit(session, report, run.options.limit))
