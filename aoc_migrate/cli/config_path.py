"""`aoc-migrate config-path`."""

import click


@click.command("config-path")
def config_path() -> None:
    """Print the path of alembic.ini, with which stock Alembic runs our revisions from any folder.

    \b
    alembic -c "$(aoc-migrate config-path)" -n concelier current
    """
    from aoc_migrate.revisions import graph

    click.echo(graph.config_path())
