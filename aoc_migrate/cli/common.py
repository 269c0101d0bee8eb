"""What the commands share: words on the command line, running on each target, output."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aoc_migrate.cli import opts
from aoc_migrate.errors import Abort, refused

if TYPE_CHECKING:
    from aoc_migrate.database.targets import Target
    from aoc_migrate.report.accepted import Accepted
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.target_run import Options, Verb

WORDS = {"ignore_unknown_options": True}


def words_of(words: tuple[str, ...], known_options: list[str]) -> list[str]:
    """Return the words of a command; any dashed word but ``-1`` or ``+1`` is a mistyped option (exit 2)."""
    for word in words:
        if word.startswith("-") and not word[1:].isdecimal():
            name = word.split("=")[0]
            raise click.UsageError(f"No such option: {name}.{_near(name, known_options)}")
    return list(words)


def _near(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def target_words(ctx: click.Context, words: tuple[str, ...], *, revision: bool) -> tuple[list[str], str | None]:
    """Split the words into targets and a revision; a word that is no target is read as the revision."""
    from aoc_migrate.database.targets import TARGETS

    options = [name for p in ctx.command.params if isinstance(p, click.Option) for name in p.opts]
    given = words_of(words, options)
    targets = [word for word in given if word in TARGETS]
    rest = [word for word in given if word not in TARGETS]
    if len(targets) > 1 or len(rest) > (1 if revision else 0):
        unexpected = rest[1] if len(rest) > 1 else (rest or targets[1:])[0]
        hint = _near(unexpected, TARGETS) or f" Targets are {' and '.join(TARGETS)}."
        raise click.UsageError(f"Unexpected word {unexpected!r}.{hint}")
    return targets, rest[0] if rest else None


def make_options(
    limit: int = 200,
    allow_session_pooler: bool = False,
    deadline: float = 600.0,
    lock_wait: float = 1800.0,
    max_stall: float = 0.1,
    show_queries: bool = False,
    accept: "Accepted | None" = None,
) -> "Options":
    """Return the options of a run. Raises Abort (exit 2) where they contradict each other."""
    from aoc_migrate.database.targets import Limits, read_flags
    from aoc_migrate.report.accepted import NOTHING
    from aoc_migrate.run.target_run import Options

    if max_stall > deadline:
        raise refused("--max-stall is longer than --deadline: not even one try would fit.")
    limits = Limits(max_stall, deadline, lock_wait, show_queries, **opts.limits_given())
    return Options(limits, read_flags(), limit, allow_session_pooler, accept or NOTHING)


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
    """Run ``verb`` on each target, in order or with --jobs at once, write the report, and exit.

    ``stop_at_error``: in order, do not touch the next target after one that failed. ``reported`` is given each
    report as it comes; ``acknowledge`` is told of each target that ended well, once the report is written.
    """
    from aoc_migrate.report.formatting import plain
    from aoc_migrate.run.target_run import on_target, refusal

    def work(target: "Target") -> "Report":
        report = on_target(target, command, options, verb)
        if reported:
            reported(target, report)
        return report

    opts.writable(output)
    if _at_once(targets):
        from aoc_migrate.run.side_by_side import side_by_side

        outcomes = side_by_side(targets, command, options, work)
    else:
        outcomes = _in_order(targets, work, stop_at_error)
    aborts = [outcome for outcome in outcomes if isinstance(outcome, Abort)]
    if len(aborts) == len(outcomes):
        raise aborts[0]
    reports = [
        refusal(target, command, options, outcome) if isinstance(outcome, Abort) else outcome
        for target, outcome in zip(targets, outcomes, strict=False)
    ]
    exit_code = write(command, reports, form, output)
    for target, report in zip(targets, reports, strict=False):
        if acknowledge and not report.exit_code:
            acknowledge(target)
    for error in aborts:
        sys.stderr.write(f"aoc-migrate: {plain(str(error))}\n")
    for target in targets[len(outcomes) :]:
        sys.stderr.write(f"aoc-migrate: {target.name} was not touched\n")
    _publish(command, reports)
    sys.exit(exit_code)


def _at_once(targets: "list[Target]") -> bool:
    """Return whether --jobs asks for it and it can be: in one database, each waits for the other's snapshots."""
    if click.get_current_context().meta.get("aoc.jobs", 1) < 2 or len(targets) < 2:
        return False
    databases = {target.place()[:-1] for target in targets}
    if len(databases) < len(targets):
        sys.stderr.write("aoc-migrate: both targets are in one database: one after the other, despite --jobs\n")
    return len(databases) == len(targets)


def _in_order(
    targets: "list[Target]", work: "Callable[[Target], Report]", stop_at_error: bool
) -> "list[Report | Abort]":
    """Return a report of each target; an error of one that is not the first is kept, with what came before."""
    outcomes: list[Report | Abort] = []
    for target in targets:
        try:
            outcomes.append(work(target))
        except Abort as error:
            outcomes.append(error)
        if outcomes[-1].exit_code and (stop_at_error or isinstance(outcomes[-1], Abort)):
            break
    return outcomes


def write(command: str, reports: "list[Report]", form: str, output: str | None) -> int:
    """Write the reports and return the worst of their exit codes."""
    from aoc_migrate.report.forms import WIDTH, render

    exit_code = max(report.exit_code for report in reports)
    if exit_code:
        _say_last(command, reports)
    terminal = output is None and os.isatty(1)
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    text = render(form, command, reports, exit_code, width)
    if output is None:
        click.echo(text, nl=False)
        return exit_code
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:  # the work is done, so its report must not be lost
        click.echo(render(form, command, reports, 4), nl=False)
        sys.stderr.write(f"aoc-migrate: {output} could not be written: {error.strerror}; here is the report\n")
        return 4
    return exit_code


def _publish(command: str, reports: "list[Report]") -> None:
    """Publish the metrics that were asked for: last, because a push gateway may keep us waiting."""
    meta = click.get_current_context().meta
    if meta.get("aoc.metrics") or meta.get("aoc.push_gateway"):
        from aoc_migrate.cli.telemetry import publish

        publish(command, reports, meta.get("aoc.metrics"), meta.get("aoc.push_gateway"))


def write_text(text: str, output: str | None) -> None:
    """Write something else than a report: to a file, or to stdout. Raises Abort (exit 2)."""
    if output is None:
        click.echo(text, nl=False)
        return
    opts.writable(output)
    Path(output).write_text(text, encoding="utf-8")


def _say_last(command: str, reports: "list[Report]") -> None:
    """Leave what stopped us as the pod's termination message; the end of a long log would not tell."""
    from aoc_migrate.report.verdict import last_words

    place = os.environ.get("AOC_TERMINATION_LOG", "/dev/termination-log")
    with suppress(OSError):  # the report itself matters more
        if Path(place).is_file() and os.access(place, os.W_OK):
            Path(place).write_text(last_words(command, reports), encoding="utf-8")
