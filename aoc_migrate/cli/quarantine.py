"""`aoc-migrate quarantine`."""

import sys

import click
from click.core import ParameterSource

from aoc_migrate.cli.command import Run, TargetCommand
from aoc_migrate.cli.options import LIMIT, POOLER
from aoc_migrate.cli.param_types import RUN_NUMBER


@click.command(cls=TargetCommand, shared=(LIMIT, POOLER))
@click.option("--export", "export", metavar="FILE", help="Write the rows, whole, to a new file; - is stdout.")
@click.option("--run", "run_number", type=RUN_NUMBER, help="With --export: the rows of this run only.")
@click.pass_context
def quarantine(ctx: click.Context, run: Run, export: str | None, run_number: int | None) -> None:
    """List what is in quarantine: how many rows of which run, why, and a sample of ids.

    The rows stay in the database, readable by the raw table's owner alone. --export writes them as they are,
    documents included, one JSON object a line: to a new file that you alone may read (mode 0600), or to stdout,
    without a report. It is for reading: the command that moved rows puts them back.

    \b
    aoc-migrate quarantine concelier
    aoc-migrate quarantine concelier --export rows.ndjson
    aoc-migrate quarantine concelier --export - --run 3
    """
    from aoc_migrate.quarantine.export import export_to_file, run_export
    from aoc_migrate.quarantine.table import run_quarantine

    if run_number is not None and export is None:
        raise click.UsageError("--run goes with --export.")
    target = run.only(unless=export is None)
    if export is None:
        run.verb(lambda session, report: run_quarantine(session, report, run.options.limit))
    if export != "-":
        run.verb(lambda session, report: export_to_file(session, report, export, run_number))
    if run.output.file is not None or ctx.get_parameter_source("format_") is not ParameterSource.DEFAULT:
        raise click.UsageError("--export - has no report, which --output and --format are for.")
    report = run.report(lambda session, report: run_export(session, report, _print, run_number), target)
    if report.exit_code:
        run.output.stderr("quarantine", report)
    sys.exit(report.exit_code)


def _print(line: str) -> None:
    click.echo(line, nl=False)
