"""What `dedupe` and `repair` share on the command line: show, --apply, --restore."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import RUN

if TYPE_CHECKING:
    from aoc_migrate.database.session import Session
    from aoc_migrate.report.accepted import Accepted
    from aoc_migrate.report.model import Report

F = TypeVar("F", bound=Callable[..., Any])


def moving_options(command: F) -> F:
    """Add --apply, --restore, --run and --accept."""
    options = (
        click.option("--apply", is_flag=True, help="Do it; without this, nothing is changed."),
        click.option("--restore", is_flag=True, help="Put rows back exactly as they were, latest run first."),
        click.option("--run", "run_number", type=RUN, help="With --restore: of this run only."),
        opts.accept_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def move(
    ctx: click.Context,
    words: tuple[str, ...],
    work: "Callable[[Session, Report, bool], None]",
    *,
    apply: bool,
    restore: bool,
    run_number: int | None,
    accept: "Accepted",
    limit: int,
    allow_session_pooler: bool,
    deadline: float,
    lock_wait: float,
    show_queries: bool,
    form: str,
    output: str | None,
) -> None:
    """Run the command: show or do its work, or put back what it did."""
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.quarantine.restore import run_restore

    names, _ = common.target_words(ctx, words, revision=False)
    targets, command = choose_targets(names), str(ctx.command.name)
    if (apply and restore) or (run_number is not None and not restore):
        raise click.UsageError("--apply and --restore exclude each other, and --run goes with --restore.")
    if (apply or restore) and len(targets) > 1:
        raise click.UsageError("Several targets are configured: name one.")
    common.run(
        command,
        targets,
        common.make_options(
            limit, allow_session_pooler, deadline, lock_wait, show_queries=show_queries, accept=accept
        ),
        lambda session, report: (
            run_restore(session, report, command, run_number) if restore else work(session, report, apply)
        ),
        form,
        output,
        stop_at_error=apply or restore,
    )
