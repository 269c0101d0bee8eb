"""`aoc-migrate verify`."""

import click

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import ACCEPT, LIMIT, METRICS, POOLER
from aoc_migrate.cli.param_types import AGE, not_empty


@click.command(cls=TargetCommand, shared=(ACCEPT, LIMIT, *METRICS, POOLER))
@click.option("--since", type=AGE, help="Only chains with a revision stored within this time, such as 24h or 7d.")
@click.option("--tenant", callback=not_empty, help="Only this tenant's chains.")
@click.option(
    "--probe",
    is_flag=True,
    help="Also try to insert rows that break each rule, and roll back.",
)
@click.option("--require-head", is_flag=True, help="Fail if revisions are pending (exit 1).")
def verify(run: Run, since: float | None, tenant: str | None, probe: bool, require_head: bool) -> None:
    """Check what the current revision promises: constraints, indexes, view, and the chain of every row.

    Below head, a warning names the pending revisions. At base nothing is promised, so the check fails. Read-only
    (except --probe); a role that may only read can run it.

    \b
    aoc-migrate verify
    aoc-migrate verify concelier --require-head --since 24h
    """
    from aoc_migrate.run.verify import VerifyOptions, run_verify

    options = VerifyOptions(run.options.limit, tenant, since, probe, require_head)
    run.verb(lambda session, report: run_verify(session, report, options))
