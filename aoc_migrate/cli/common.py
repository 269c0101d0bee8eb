"""What the commands share: words on the command line, options, durations, output."""

import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aoc_migrate.errors import AocError

if TYPE_CHECKING:
    from aoc_migrate.database.settings import Target
    from aoc_migrate.report.model import Report
    from aoc_migrate.run.common import Options, Verb

TARGETS = ("concelier", "excititor")
WORDS = {"ignore_unknown_options": True}

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A time with its unit (``100ms``, ``2s``, ``5m``, ``1h``), in seconds; ``longest`` is the most."""

    name = "duration"

    def __init__(self, longest: float = float("inf")) -> None:
        self.longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; refuse bare numbers, because nobody knows their unit."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(-?\d+(?:\.\d+)?)(ms|s|m|h|)", value.strip())
        if not match:
            self.fail(f"{value!r} is no time; write 100ms, 2s, 5m or 1h", param, ctx)
        if not match[2]:
            self.fail(
                f"{value!r} has no unit, and nobody knows which you mean; write {value}ms or {value}s", param, ctx
            )
        seconds = float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]
        if seconds < 0.001:
            self.fail(f"{value!r} is too short; the least is 1ms", param, ctx)
        if seconds > self.longest:
            self.fail(f"{value!r} is too long; the most is {self.longest / 3600:.0f}h", param, ctx)
        return seconds


AGE = Duration()
DURATION = Duration(longest=590 * 3600)  # PostgreSQL's timeouts are 31 bits of milliseconds


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


def output_options(command: F) -> F:
    """Add --format and --output."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "ndjson", "markdown", "html"]),
        default="table",
        show_default=True,
        help="How the report is written.",
    )
    output = click.option("--output", type=click.Path(dir_okay=False), help="Write the report to a file.")
    return form(output(command))


def connection_options(command: F) -> F:
    """Add --allow-session-pooler."""
    return click.option(
        "--allow-session-pooler",
        is_flag=True,
        help="Go through a pooler that is known to be in session mode.",
    )(command)


def limit_option(command: F) -> F:
    """Add --limit."""
    return click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=200,
        show_default=True,
        help="Most groups or rows in each sample; counts are always over everything.",
    )(command)


def stall_option(command: F) -> F:
    """Add --max-stall."""
    return click.option(
        "--max-stall",
        type=DURATION,
        default="100ms",
        show_default=True,
        help="Longest time that other sessions may wait behind one of our strong locks.",
    )(command)


def patience_options(command: F) -> F:
    """Add --deadline and --lock-wait."""
    deadline = click.option(
        "--deadline",
        type=DURATION,
        default="10m",
        show_default=True,
        help="How long one step tries before it gives up (exit 3).",
    )
    wait = click.option(
        "--lock-wait",
        type=DURATION,
        default="30m",
        show_default=True,
        help="How long to wait for another run (exit 3).",
    )
    return deadline(wait(command))


def waiting_options(command: F) -> F:
    """Add --deadline, --lock-wait and --show-queries."""
    queries = click.option(
        "--show-queries", is_flag=True, help="Name who blocks us with the text of its query; it may hold data."
    )
    return patience_options(queries(command))


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

    writable(output)
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
    writable(output)
    Path(output).write_text(text, encoding="utf-8")


def _write(output: str, text: str, exit_code: int) -> int:
    """Write the report to its file; where that fails now, show it, because the work is done (exit 4)."""
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(text, nl=False)
        sys.stderr.write(f"aoc-migrate: {output} could not be written: {error.strerror}; here is the report\n")
        return 4
    return exit_code


def writable(output: str | None) -> None:
    """Refuse an output file that cannot be written before anything is done (exit 2)."""
    if output is None:
        return
    try:
        with Path(output).open("a", encoding="utf-8"):
            return
    except OSError as error:
        raise AocError(f"--output {output} cannot be written: {error.strerror}. Choose another file.") from None
