"""`aoc-migrate explain`."""

import os
import shutil
from typing import Any

import click

PROSE = 100  # columns


def _slugs(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    from aoc_migrate.report.messages import MESSAGES

    return [slug for slug in MESSAGES if slug.startswith(incomplete)]


@click.command()
@click.argument("slug", required=False, shell_complete=_slugs)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the explanation.",
)
def explain(slug: str | None, format_: str) -> None:
    """Explain a finding: what it means, the SQL that finds it, and what to do. Without SLUG, list all findings.

    SLUG is the name of the finding in a report, or its code, such as ERR_AOC_004. Needs neither database nor
    network.

    \b
    aoc-migrate explain
    aoc-migrate explain duplicate-key
    """
    from aoc_migrate.report.explanation import as_json, as_text, explanations, listing

    known = explanations()
    found = [each for each in known.values() if slug in (None, each.slug, each.code)]
    if not found:
        raise click.BadParameter(
            f"No finding is called {slug!r}.{_similar(str(slug), list(known))}", param_hint="SLUG"
        )
    if format_ == "json":
        click.echo(as_json(found))
    elif slug is None:
        click.echo(listing(known))
    else:
        columns = shutil.get_terminal_size().columns if os.isatty(1) else PROSE
        click.echo("\n\n".join(as_text(each, min(columns, PROSE)) for each in found))


def _similar(slug: str, known: list[str]) -> str:
    """Return the names that ``slug`` may mean, or how to list all."""
    from difflib import get_close_matches

    close = get_close_matches(slug, known)
    return f" Did you mean {' or '.join(close)}?" if close else " To list them: aoc-migrate explain"
