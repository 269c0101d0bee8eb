"""The options that commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from aoc_migrate.cli.values import BATCH, DURATION, Lag, Share
from aoc_migrate.errors import refused

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted

F = TypeVar("F", bound=Callable[..., Any])


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


def accept_option(command: F) -> F:
    """Add --accept, which the command gets as one `Accepted`."""

    def read(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> "Accepted":
        from aoc_migrate.report.accepted import Accepted

        try:
            return Accepted.of(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return click.option(
        "--accept",
        multiple=True,
        metavar="SLUG:OBJECT",
        callback=read,
        help="Accept a finding, in the form that it prints. May be repeated.",
    )(command)


def metrics_options(command: F) -> F:
    """Add --metrics and --push-gateway, which `run` reads."""

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if param.name == "metrics":
            writable(value, "--metrics")
        elif value is not None:
            _reachable(value)
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


def limit_option(command: F) -> F:
    """Add --limit."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000),
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


def batch_options(most: int = 20_000) -> Callable[[F], F]:
    """Add --batch-time, --batch-rows, --pace and --max-lag, which `limits_given` returns.

    ``most``: rows in a batch at most.
    """

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        given = ctx.meta.setdefault("aoc.limits", {})
        if param.name == "max_lag":
            for bounds in value:
                given |= bounds
        else:
            given[param.name] = value

    def option(name: str, **words: Any) -> Callable[[F], F]:
        return click.option(name, expose_value=False, callback=keep, **words)

    time = option(
        "--batch-time",
        type=BATCH,
        default="50ms",
        show_default=True,
        help="Time that a batch of rows aims at; they are locked for so long.",
    )
    rows = option(
        "--batch-rows",
        type=click.IntRange(1, most),
        default=most,
        show_default=True,
        help="Most rows in a batch.",
    )
    pace = option(
        "--pace",
        type=Share(),
        default="100%",
        show_default=True,
        help="Share of the time that batches run; it sleeps in between.",
    )
    lag = option(
        "--max-lag",
        type=Lag(),
        multiple=True,
        default=["1GB"],
        show_default=True,
        help="Pause while a standby, a replication slot or the WAL archive is further behind: 64MB, or 10s for "
        "standbys, or 64MB,10s, or off.",
    )
    return lambda command: time(rows(pace(lag(command))))


def limits_given() -> dict[str, Any]:
    """Return what `batch_options` were given to the running command, as fields of `Limits`."""
    context = click.get_current_context(silent=True)
    return dict(context.meta.get("aoc.limits", {})) if context else {}


def writable(output: str | None, option: str = "--output") -> None:
    """Refuse an output file that cannot be written before anything is done (exit 2)."""
    if output is None:
        return
    try:
        with Path(output).open("a", encoding="utf-8"):
            return
    except OSError as error:
        raise refused(f"{option} {output} cannot be written: {error.strerror}. Choose another file.") from None


def _reachable(gateway: str) -> None:
    """Refuse a push gateway that no request could be sent to. The URL is not repeated: it may hold a password."""
    try:
        url = urlsplit(gateway)
        fits = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        fits = fits and not (url.query or url.fragment) and re.fullmatch("[!-~]+", gateway) is not None
    except ValueError:
        fits = False
    if not fits:
        raise refused("--push-gateway is no http or https URL; write it as http://HOST:PORT.")
