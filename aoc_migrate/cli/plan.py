"""`aoc-migrate plan`."""

import sys
from dataclasses import replace

import click
from click.core import ParameterSource

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import DEADLINE, LOCK_WAIT, MAX_STALL, POOLER


@click.command(cls=TargetCommand, revision="[REVISION | FROM:TO]", shared=(MAX_STALL, DEADLINE, LOCK_WAIT, POOLER))
@click.option("--sql", is_flag=True, help="Print the psql script instead of the plan.")
def plan(run: Run, sql: bool) -> None:
    """Show what an upgrade or downgrade would run: statements, locks, scans, sizes. Changes nothing.

    Each line begins with + for what it makes, ~ for what it changes, or - for what it drops; -v adds the SQL.
    REVISION is as in upgrade and downgrade; the default is head. --output FILE.json writes the plan as JSON, for
    approval and upgrade --plan. --sql prints a psql script instead, with the same transactions, locks, limits and
    audit. FROM:TO prints the script without a connection.

    \b
    aoc-migrate plan concelier
    aoc-migrate plan concelier -1
    aoc-migrate plan concelier --output plan.json
    aoc-migrate plan concelier --sql --output upgrade.sql
    aoc-migrate plan concelier base:head --sql
    """
    from aoc_migrate.run.plan import run_plan, script_between, script_from

    revision = run.revision or "head"
    if ":" in revision:
        if not sql or not run.names:
            raise click.UsageError("FROM:TO needs TARGET and --sql, because it connects to no database.")
        run.output.write_text(script_between(run.names[0], revision, run.options.limits))
        return
    target = run.only(unless=not sql and not revision.startswith("-"))
    if not sql:
        run = _in_json(run)
        file = run.output.file if run.output.format_ == "json" and len(run.targets) == 1 else None
        run.verb(lambda session, report: run_plan(session, report, revision, file))
    run.output.check()
    report, script = script_from(target, revision, run.options)
    if report.exit_code:
        run.output.stderr("plan", report)
        sys.exit(report.exit_code)
    run.output.write_text(script)


def _in_json(run: Run) -> Run:
    """Return the run with its report as JSON if the file's name says so, and no format was typed."""
    typed = click.get_current_context().get_parameter_source("format_") is not ParameterSource.DEFAULT
    if typed or run.output.file is None or not run.output.file.endswith(".json"):
        return run
    return run.but(output=replace(run.output, format_="json"))
