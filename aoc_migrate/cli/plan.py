"""`aoc-migrate plan`."""

import sys
from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import common, opts

if TYPE_CHECKING:
    from aoc_migrate.database.session import Session
    from aoc_migrate.database.targets import Target
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.target_run import Options


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET] [REVISION | FROM:TO]")
@click.option("--sql", "as_sql", is_flag=True, help="Print the psql script instead of the plan.")
@opts.stall_option
@opts.patience_options
@opts.connection_options
@opts.output_options
@click.pass_context
def plan(
    ctx: click.Context,
    words: tuple[str, ...],
    as_sql: bool,
    allow_session_pooler: bool,
    max_stall: float,
    deadline: float,
    lock_wait: float,
    form: str,
    output: str | None,
) -> None:
    """Tell what an upgrade or a downgrade would run: statements, locks, scans, sizes. Changes nothing.

    REVISION is as for upgrade and downgrade; the default is head. With --sql, the same as a script for psql:
    same transactions, locks, limits and audit. FROM:TO writes it without a connection.

    \b
    aoc-migrate plan concelier
    aoc-migrate plan concelier -1
    aoc-migrate plan concelier --sql --output upgrade.sql
    aoc-migrate plan concelier base:head --sql
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.plan import run_plan

    names, revision = common.target_words(ctx, words, revision=True)
    options = common.make_options(200, allow_session_pooler, deadline, lock_wait, max_stall)
    if revision and ":" in revision:
        if not as_sql or not names:
            raise click.UsageError("FROM:TO goes with TARGET and --sql: there is no database to look at.")
        _without_connection(names[0], revision, options, output)
        return
    targets = choose_targets(names)
    if len(targets) > 1 and (as_sql or (revision or "").startswith("-")):
        raise click.UsageError("Several targets are configured: name one.")
    wanted = revision or "head"
    if as_sql:
        _script(targets[0], wanted, options, output)
        return
    common.run("plan", targets, options, lambda session, report: run_plan(session, report, wanted), form, output)


def _without_connection(target: str, words: str, options: "Options", output: str | None) -> None:
    from aoc_migrate.database.targets import read_place
    from aoc_migrate.run.plan import between, sql

    common.write_text(sql(between(target, words), options.limits, *read_place(target)), output)


def _script(target: "Target", wanted: str, options: "Options", output: str | None) -> None:
    """Print the script; what stops it goes to stderr, because stdout may be a file that psql reads next."""
    from aoc_migrate.report.forms import render
    from aoc_migrate.revisions.graph import contract_at
    from aoc_migrate.run.plan import planned, refuse_partitioned, sql
    from aoc_migrate.run.target_run import on_target

    jobs = []

    def look(session: "Session", found: "Report") -> None:
        refuse_partitioned(session, contract_at(target.name, found.revision).table)
        jobs.append(planned(target.name, found.revision, wanted))

    report = on_target(target, "plan", options, look)
    if report.exit_code:
        sys.stderr.write(render("table", "plan", [report], report.exit_code))
        sys.exit(report.exit_code)
    common.write_text(sql(jobs[0], options.limits, target.schema, target.table_owner), output)
