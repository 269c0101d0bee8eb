"""The forms of a report: a table for people, JSON and NDJSON for programs, Markdown for tickets, HTML to keep."""

from aoc_migrate.report.model import Report
from aoc_migrate.report.verdict import brief, brief_text

FORMS = ("table", "json", "ndjson", "markdown", "html")
WIDTH = 100  # of what is not written to a terminal


def render(form: str, command: str, reports: list[Report], exit_code: int, width: int = WIDTH) -> str:
    """Return the whole output of a command in one of `FORMS`. Each form is loaded when it is asked for."""
    if form == "table" and all(map(brief, reports)):
        return "\n".join(brief_text(command, report) for report in reports)
    if form == "table":
        from aoc_migrate.report.text import text

        return text(command, reports, width)
    if form == "markdown":
        from aoc_migrate.report.markdown import markdown

        return markdown(command, reports)
    from aoc_migrate.report.json import json_text, ndjson

    if form == "ndjson":
        return ndjson(command, reports)
    as_json = json_text(command, reports, exit_code)
    if form == "json":
        return as_json
    from aoc_migrate.report.html import page

    return page(command, reports, exit_code, as_json)
