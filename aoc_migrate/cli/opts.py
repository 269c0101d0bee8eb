"""The options that commands share, and the types of their values."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aoc_migrate.errors import AocError

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


def metrics_options(command: F) -> F:
    """Add --metrics and --push-gateway, which `write` reads."""

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if param.name == "metrics":
            writable(value, "--metrics")
        ctx.meta[f"aoc.{param.name}"] = value

    metrics = click.option(
        "--metrics",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=keep,
        help="Write Prometheus metrics to a file, for the textfile collector.",
    )
    push = click.option(
        "--push-gateway",
        metavar="URL",
        expose_value=False,
        callback=keep,
        help="Send them to a push gateway as well.",
    )
    return metrics(push(command))


def connection_options(command: F) -> F:
    """Add --allow-session-pooler."""
    return click.option(
        "--allow-session-pooler",
        is_flag=True,
        help="Go through a pooler that is known to be in session mode.",
    )(command)


def jobs_option(command: F) -> F:
    """Add --jobs, which `run` reads."""

    def keep(ctx: click.Context, param: click.Parameter, value: int) -> None:
        ctx.meta["aoc.jobs"] = value

    return click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        expose_value=False,
        callback=keep,
        help="2: both targets at the same time, where they are in different databases. Both run to their end, "
        "also where one fails.",
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


def writable(output: str | None, option: str = "--output") -> None:
    """Refuse an output file that cannot be written before anything is done (exit 2)."""
    if output is None:
        return
    try:
        with Path(output).open("a", encoding="utf-8"):
            return
    except OSError as error:
        raise AocError(f"{option} {output} cannot be written: {error.strerror}. Choose another file.") from None
