"""The formats of a report: text for people, JSON and NDJSON for programs, Markdown for tickets, HTML to keep."""

from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.model import Report
from aoc_migrate.report.verdict import brief, brief_text


def render(
    format_: str,
    command: str,
    reports: list[Report],
    exit_code: int,
    look: Look = Look(),  # noqa: B008  (frozen)
) -> str:
    """Return the whole output of a command as ``table``, ``json``, ``ndjson``, ``markdown`` or ``html``.

    ``look`` matters only to ``table``.
    """
    quiet = look.verbosity is Verbosity.QUIET
    if format_ == "table" and (quiet or all(map(brief, reports))):
        between = "" if quiet else "\n"
        return between.join(brief_text(command, report, look) for report in reports)
    if format_ == "table":
        from aoc_migrate.report.text import text

        return text(command, reports, look)
    if format_ == "markdown":
        from aoc_migrate.report.markdown import markdown

        return markdown(command, reports)
    from aoc_migrate.report.json import json_text, ndjson

    if format_ == "ndjson":
        return ndjson(command, reports)
    if format_ == "json":
        return json_text(command, reports, exit_code)
    from aoc_migrate.report.html import page

    return page(command, reports, exit_code)
