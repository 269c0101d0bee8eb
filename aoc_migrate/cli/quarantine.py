"""`aoc-migrate quarantine`."""

import sys

import click
from click.core import ParameterSource

from aoc_migrate.cli.call import Run
from aoc_migrate.cli.command import TargetCommand
from aoc_migrate.cli.options import LIMIT, POOLER
from aoc_migrate.cli.param_types import RUN_NUMBER


@click.command(cls=TargetCommand, shared=(LIMIT, POOLER))
@click.option("--export", "export", metavar="FILE", help="Write whole rows to a new file; - writes to stdout.")
@click.option("--run", "run_number", type=RUN_NUMBER, help="With --export: only the rows of this run.")
@click.pass_context
def quarantine(ctx: click.Context, run: Run, export: str | None, run_number: int | None) -> None:
    """List the quarantine: how many rows each run put there, why, and a sample of ids.

    The rows stay in the database, where only the raw table's owner can read them. --export writes them unchanged,
    documents included, one JSON object per line: to a new file that only you can read (mode 0600), or to stdout,
    without a report. The export is only for reading; dedupe and repair can put their rows back.

    \b
    aoc-migrate quarantine concelier
    aoc-migrate quarantine concelier --export rows.ndjson
    aoc-migrate quarantine concelier --export - --run 3
    """
    from aoc_migrate.quarantine.export import export_to_file, run_export
    from aoc_migrate.quarantine.table import run_quarantine

    if run_number is not None and export is None:
        raise click.UsageError("--run needs --export.")
    target = run.only(unless=export is None)
    if export is None:
        run.verb(lambda session, report: run_quarantine(session, report, run.options.limit))
    if export != "-":
        run.verb(lambda session, report: export_to_file(session, report, export, run_number))
    if {ctx.get_parameter_source(name) for name in ("file", "format_")} != {ParameterSource.DEFAULT}:
        raise click.UsageError("--export - writes no report, so --output and --format do not apply.")
    report = run.report(lambda session, report: run_export(session, report, _print, run_number), target)
    if report.exit_code:
        run.output.stderr("quarantine", report)
    sys.exit(report.exit_code)


def _print(line: str) -> None:
    click.echo(line, nl=False)
