"""`aoc-migrate wait`."""

import sys

import click

from aoc_migrate.cli import common, opts
from aoc_migrate.cli.values import DURATION


@click.command(context_settings=common.WORDS)
@click.argument("words", nargs=-1, metavar="[TARGET]")
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="How long to wait (exit 3).")
@opts.output_options
@click.pass_context
def wait(ctx: click.Context, words: tuple[str, ...], timeout: float, form: str, output: str | None) -> None:
    """Wait until the database answers and is at head, or held where it is.

    For services that must not start before the migration is done. It wants SELECT on aoc_alembic_version,
    and on aoc_migration_hold to see that a rollback holds the database on purpose.

    Says on stderr which revision it waits for and who is running it.

    \b
    aoc-migrate wait concelier --timeout 5m
    """
    from aoc_migrate.database.targets import choose_targets
    from aoc_migrate.run.wait import run_wait

    names, _ = common.target_words(ctx, words, revision=False)
    targets = choose_targets(names)
    opts.writable(output)
    options = common.make_options()
    reports = [run_wait(target, options, timeout) for target in targets]
    sys.exit(common.write("wait", reports, form, output))
