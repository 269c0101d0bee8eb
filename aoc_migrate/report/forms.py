"""The formats of a report: text for people, JSON and NDJSON for programs, Markdown for tickets, HTML to keep."""

from aoc_migrate.report.model import Report
from aoc_migrate.report.verdict import brief, brief_text

WIDTH = 100  # columns


def render(format_: str, command: str, reports: list[Report], exit_code: int, width: int = WIDTH) -> str:
    """Return the whole output of a command as ``table``, ``json``, ``ndjson``, ``markdown`` or ``html``."""
    if format_ == "table" and all(map(brief, reports)):
        return "\n".join(brief_text(command, report) for report in reports)
    if format_ == "table":
        from aoc_migrate.report.text import text

        return text(command, reports, width)
    if format_ == "markdown":
        from aoc_migrate.report.markdown import markdown

        return markdown(command, reports)
    from aoc_migrate.report.json import json_text, ndjson

    if format_ == "ndjson":
        return ndjson(command, reports)
    as_json = json_text(command, reports, exit_code)
    if format_ == "json":
        return as_json
    from aoc_migrate.report.html import page

    return page(command, reports, exit_code, as_json)
