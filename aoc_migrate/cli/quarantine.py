"""`aoc-migrate quarantine`."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import click
from click.core import ParameterSource

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import RUN
from aoc_migrate.errors import Abort, refused

if TYPE_CHECKING:
    from aoc_migrate.database.session import Session
    from aoc_migrate.database.targets import Target
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.target_run import Options


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option("--export", "place", metavar="FILE", help="Write the rows, whole, to a new file; - is stdout.")
@click.option("--run", "run_number", type=RUN, help="With --export: the rows of this run only.")
@opts.limit_option
@opts.connection_options
@opts.output_options
@click.pass_context
def quarantine(
    ctx: click.Context,
    words: tuple[str, ...],
    place: str | None,
    run_number: int | None,
    limit: int,
    allow_session_pooler: bool,
    form: str,
    output: str | None,
) -> None:
    """List what is in quarantine: how many rows of which run, why, and a sample of ids.

    The rows themselves stay in the database, readable by the raw table's owner alone. --export writes them as
    they are, documents and all, one JSON object a line: to a new file that you alone may read (mode 0600), or to
    stdout, where there is no report then. It is for looking: the way back is `repair --restore` or
    `dedupe --restore`.

    \b
    aoc-migrate quarantine concelier
    aoc-migrate quarantine concelier --export rows.ndjson
    aoc-migrate quarantine concelier --export - --run 3
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.quarantine.export import run_export
    from aoc_migrate.quarantine.table import run_quarantine

    names, _ = common.target_words(ctx, words, revision=False)
    targets, options = choose_targets(names), common.make_options(limit, allow_session_pooler)
    if run_number is not None and place is None:
        raise click.UsageError("--run goes with --export.")
    if place is None:
        common.run(
            "quarantine", targets, options, lambda s, report: run_quarantine(s, report, limit), form, output
        )
        return
    if len(targets) > 1:
        raise click.UsageError("Several targets are configured: name one.")
    if place == "-":
        if output is not None or ctx.get_parameter_source("form") is not ParameterSource.DEFAULT:
            raise click.UsageError("--export - has no report, which --output and --format are for.")
        _to_stdout(targets[0], options, run_number)

    def export(session: "Session", report: "Report") -> None:
        with new_file(place) as file:
            run_export(session, report, file.write, run_number)
        session.say(f"{place} holds whole rows, documents and all; you alone may read it")

    common.run("quarantine", targets, options, export, form, output)


def _to_stdout(target: "Target", options: "Options", run_number: int | None) -> NoReturn:
    """Leave stdout to the rows; what stops it goes to stderr."""
    from aoc_migrate.quarantine.export import run_export
    from aoc_migrate.report.forms import render
    from aoc_migrate.run.target_run import on_target

    def write(line: str) -> None:
        click.echo(line, nl=False)

    report = on_target(target, "quarantine", options, lambda s, r: run_export(s, r, write, run_number))
    if report.exit_code:
        sys.stderr.write(render("table", "quarantine", [report], report.exit_code))
    sys.exit(report.exit_code)


@contextmanager
def new_file(place: str) -> Iterator[TextIO]:
    """Give a file for its owner alone that takes its name when it is whole, or vanishes.

    Raises Abort: exit 2 where the name is taken or cannot be written to, 4 where writing fails on the way.
    """
    path = Path(place)
    if os.path.lexists(path):
        raise _taken(place)
    try:
        number, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise refused(f"{place} cannot be written: {error.strerror}. Choose another file.") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.touch(0o600, exist_ok=False)
        Path(beside).replace(path)
    except FileExistsError:
        raise _taken(place) from None
    except OSError as error:
        raise refused(f"{place} was not made, because it would not be whole: {error.strerror}.", 4) from None
    finally:
        with suppress(OSError):  # it has its name by now, or the disk is what failed
            Path(beside).unlink()


def _taken(place: str) -> Abort:
    return refused(f"{place} is there already, and is not overwritten. Name a new file.")
