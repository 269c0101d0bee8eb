"""What the commands share: words on the command line, running on each target, output."""

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import opts
from aoc_migrate.errors import AocError

if TYPE_CHECKING:
    from aoc_migrate.database.settings import Target
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.common import Options, Verb

TARGETS = ("concelier", "excititor")
WORDS = {"ignore_unknown_options": True}


def words_of(words: tuple[str, ...], known_options: list[str]) -> list[str]:
    """Return the words of a command; any dashed word but ``-1`` or ``+1`` is a mistyped option (exit 2)."""
    for word in words:
        if word.startswith("-") and not re.fullmatch(r"-\d+", word):
            name = word.split("=")[0]
            near = difflib.get_close_matches(name, known_options, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"No such option: {name}.{hint}")
    return list(words)


def target_words(ctx: click.Context, words: tuple[str, ...], *, revision: bool) -> tuple[list[str], str | None]:
    """Split the words into targets and a revision; a word that is no target is read as the revision."""
    options = [name for p in ctx.command.params if isinstance(p, click.Option) for name in p.opts]
    given = words_of(words, options)
    targets = [word for word in given if word in TARGETS]
    rest = [word for word in given if word not in TARGETS]
    if len(targets) > 1 or len(rest) > (1 if revision else 0):
        unexpected = rest[1] if len(rest) > 1 else (rest or targets[1:])[0]
        near = difflib.get_close_matches(unexpected, TARGETS, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Targets are {' and '.join(TARGETS)}."
        raise click.UsageError(f"Unexpected word {unexpected!r}.{hint}")
    return targets, rest[0] if rest else None


def make_options(
    limit: int = 200,
    allow_session_pooler: bool = False,
    deadline: float = 600.0,
    lock_wait: float = 1800.0,
    max_stall: float = 0.1,
    show_queries: bool = False,
) -> "Options":
    """Return the options of a run. Raises AocError (exit 2) where they contradict each other."""
    from aoc_migrate.database.settings import Limits, read_flags
    from aoc_migrate.run.common import Options

    if max_stall > deadline:
        raise AocError("--max-stall is longer than --deadline: not even one try would fit.")
    return Options(Limits(max_stall, deadline, lock_wait, show_queries), read_flags(), limit, allow_session_pooler)


def run(
    command: str,
    targets: "list[Target]",
    options: "Options",
    verb: "Verb",
    form: str,
    output: str | None,
    *,
    stop_at_error: bool = False,
    reported: "Callable[[Target, Report], None] | None" = None,
    acknowledge: "Callable[[Target], None] | None" = None,
) -> None:
    """Run ``verb`` on each target in order, write the report, and exit.

    ``stop_at_error``: do not touch the next target after one that failed. ``reported`` is given each report
    as it comes; ``acknowledge`` is told of each target that ended well, once the report is written.
    """
    from aoc_migrate.run.common import on_target

    opts.writable(output)
    reports = []
    for target in targets:
        reports.append(on_target(target, command, options, verb))
        if reported:
            reported(target, reports[-1])
        if stop_at_error and reports[-1].exit_code:
            break
    exit_code = write(command, reports, form, output)
    for target, report in zip(targets, reports, strict=False):
        if acknowledge and not report.exit_code:
            acknowledge(target)
    for target in targets[len(reports) :]:
        sys.stderr.write(f"aoc-migrate: {target.name} was not touched\n")
    sys.exit(exit_code)


def write(command: str, reports: "list[Report]", form: str, output: str | None) -> int:
    """Write the reports and return the worst of their exit codes."""
    from aoc_migrate.report.render import render

    exit_code = max(report.exit_code for report in reports)
    if exit_code:
        _say_last(command, reports)
    meta = click.get_current_context().meta
    if meta.get("aoc.metrics") or meta.get("aoc.push_gateway"):
        from aoc_migrate.cli.telemetry import publish

        publish(command, reports, meta.get("aoc.metrics"), meta.get("aoc.push_gateway"))
    text = render(form, command, reports, exit_code)
    if output is None:
        click.echo(text, nl=False)
        return exit_code
    return _write(output, text, exit_code)


def write_text(text: str, output: str | None) -> None:
    """Write something else than a report: to a file, or to stdout. Raises AocError (exit 2)."""
    if output is None:
        click.echo(text, nl=False)
        return
    opts.writable(output)
    Path(output).write_text(text, encoding="utf-8")


def _say_last(command: str, reports: "list[Report]") -> None:
    """Leave what stopped us as the pod's termination message; the end of a long log would not tell."""
    from aoc_migrate.report.words import last_words

    place = os.environ.get("AOC_TERMINATION_LOG", "/dev/termination-log")
    if Path(place).is_file() and os.access(place, os.W_OK):
        Path(place).write_text(last_words(command, reports), encoding="utf-8")


def _write(output: str, text: str, exit_code: int) -> int:
    """Write the report to its file; where that fails now, show it, because the work is done (exit 4)."""
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(text, nl=False)
        sys.stderr.write(f"aoc-migrate: {output} could not be written: {error.strerror}; here is the report\n")
        return 4
    return exit_code
