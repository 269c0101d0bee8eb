"""`aoc-migrate revision`."""

import click

from aoc_migrate.cli.streams import print_result
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.errors import refused


@click.command()
@click.argument("target", type=click.Choice(TARGETS))
@click.option("-m", "--message", required=True, help="Title: what the revision does, as verb and noun.")
def revision(target: str, message: str) -> None:
    """Create the file of a new revision, in a checkout.

    The template asks the questions that the author must answer.

    \b
    aoc-migrate revision concelier -m "guard the identifiers column"
    """
    from aoc_migrate.run.new_revision import new_revision

    path = new_revision(target, message)
    if path is None:
        raise refused("New revisions need a checkout; this is an installed package.")
    print_result(str(path))
