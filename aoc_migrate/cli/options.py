"""The options that commands share, with the section of the help that lists them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from aoc_migrate.cli.param_types import BATCH, DURATION, GATEWAY, Lag, Share, Sql, Ticket

if TYPE_CHECKING:
    from aoc_migrate.report.accepted import Accepted


SECTIONS = ("Options", "Locks and pace", "Output", "Connection")


class Shared(click.Option):
    """An option in one of the SECTIONS."""

    def __init__(self, *names: str, section: str = SECTIONS[0], **attributes: Any) -> None:
        super().__init__([*names], **attributes)
        self.section = section


def _locks(*names: str, **attributes: Any) -> Shared:
    return Shared(*names, section=SECTIONS[1], **attributes)


def _output(*names: str, **attributes: Any) -> Shared:
    return Shared(*names, section=SECTIONS[2], **attributes)


def _accepted(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> "Accepted":
    from aoc_migrate.report.accepted import Accepted

    try:
        return Accepted.of(values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _slugs(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    from aoc_migrate.report.accepted import ACCEPTABLE

    return [f"{slug}:" for slug in ACCEPTABLE if slug.startswith(incomplete)]


def _merged(
    _ctx: click.Context, _param: click.Parameter, values: Iterable[dict[str, float | None]]
) -> dict[str, float | None]:
    return {name: bound for bounds in values for name, bound in bounds.items()}


def _file(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    return None if name == "-" else name


ACCEPT = Shared(
    "--accept",
    multiple=True,
    metavar="SLUG:OBJECT",
    callback=_accepted,
    shell_complete=_slugs,
    help="Accept a finding, as the finding prints it. May be repeated.",
)
TICKET = Shared(
    "--ticket",
    type=Ticket(),
    metavar="NAME",
    envvar="AOC_TICKET",
    show_envvar=True,
    help="Change ticket, such as CHG-1234, for reports and the ledger.",
)
ALL_TARGETS = Shared("--all", "all_targets", is_flag=True, help="Run on all configured targets.")
MAX_STALL = _locks(
    "--max-stall",
    type=DURATION,
    default="100ms",
    show_default=True,
    help="Longest time that other sessions may wait for one of our strong locks.",
)
DEADLINE = _locks(
    "--deadline",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How long a step tries before it gives up (exit 3).",
)
LOCK_WAIT = _locks(
    "--lock-wait",
    type=DURATION,
    default="30m",
    show_default=True,
    help="How long to wait for another run before giving up (exit 3).",
)
SHOW_QUERIES = _locks(
    "--show-queries", is_flag=True, help="Show the query of each session that blocks us; it may contain data."
)
WAITING = (DEADLINE, LOCK_WAIT, SHOW_QUERIES)


def batches(usual: int = 2_000, most: int = 20_000) -> tuple[Shared, ...]:
    """Return the options of a command that writes batches of ``usual`` rows, and ``most`` if asked to."""
    return (
        _locks(
            "--batch-time",
            type=BATCH,
            default="50ms",
            show_default=True,
            help="Target time of a batch; its rows stay locked that long.",
        ),
        _locks(
            "--batch-rows",
            type=click.IntRange(1, most),
            default=usual,
            show_default=True,
            help="Largest number of rows in a batch.",
        ),
        _locks(
            "--pace",
            type=Share(),
            default="100%",
            show_default=True,
            help="Share of the time that batches run; the rest is sleep.",
        ),
        _locks(
            "--max-lag",
            type=Lag(),
            multiple=True,
            default=["1GB"],
            show_default=True,
            callback=_merged,
            help="Pause while a standby, a replication slot or the WAL archive lags further than this: 64MB, 10s "
            "(standbys only), both as 64MB,10s, or off.",
        ),
        _locks(
            "--throttle-query",
            type=Sql(),
            metavar="SQL",
            envvar="AOC_THROTTLE_QUERY",
            show_envvar=True,
            help="Pause while this query, run as the migrating role, returns true; write names with their schema. "
            "Unlike the option, the variable stays out of the list of processes.",
        ),
    )


LIMIT = _output(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=200,
    show_default=True,
    help="Largest number of groups or rows in each sample; counts always cover everything.",
)
METRICS = (
    _output(
        "--metrics",
        type=click.Path(dir_okay=False),
        help="Write Prometheus metrics to a file, for the textfile collector.",
    ),
    _output("--push-gateway", type=GATEWAY, metavar="URL", help="Send the metrics to a push gateway."),
)
OUTPUT = (
    _output(
        "--format",
        "format_",
        type=click.Choice(["table", "json", "ndjson", "markdown", "html"]),
        default="table",
        show_default=True,
        help="Format of the report.",
    ),
    _output(
        "--output",
        "file",
        type=click.Path(dir_okay=False, allow_dash=True),
        callback=_file,
        help="Write the report to a file; - is stdout.",
    ),
    _output(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="When to use color; auto: on a terminal, unless NO_COLOR is set.",
    ),
    _output("-v", "--verbose", is_flag=True, help="Show every finding, sample and value in full."),
    _output("-q", "--quiet", is_flag=True, help="Show only the verdict."),
    _output(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        envvar="AOC_LOG_FORMAT",
        expose_value=False,  # `log_format` in cli/__init__.py reads it before anything is parsed
        help="Format of the log on stderr. With json, each line is one object.",
    ),
)
POOLER = Shared(
    "--allow-session-pooler",
    is_flag=True,
    section=SECTIONS[3],
    help="Allow a pooler, which must be in session mode.",
)
