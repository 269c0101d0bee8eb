"""Reports as Markdown, for tickets."""

import re
from collections.abc import Iterator

from aoc_migrate.report.formatting import by_severity, cell, label, plain, shortened, shown, title
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.tables import Table, lists, named, scalars, states, step_table, summary, tables
from aoc_migrate.report.verdict import bound_lines, next_lines, sentence

CELL = 400  # characters of a value in a sample; the JSON has the rest

_MARKUP = re.compile(
    r"[\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=\bwww)\.",
    re.IGNORECASE,
)


def markdown(command: str, reports: list[Report]) -> str:
    """Return the reports of a command."""
    return "\n".join("\n".join(_lines(command, report)) for report in reports)


def _lines(command: str, report: Report) -> Iterator[str]:
    yield from (f"## {command} {escaped(report.target)}", "", sentence(report), "")
    for name, bound in bound_lines(report):
        yield from (f"{name.capitalize()}: {escaped(bound)}", "")
    if report.findings:
        names = ["severity", "finding", "subject", "count", "rows", "problem", "help"]
        yield from _table(names, [_finding(finding) for finding in by_severity(report.findings)])
    for finding in report.findings:
        if finding.sample:
            yield from (f"**{finding.slug}** {escaped(finding.subject)}, sample:", "")
            for row in finding.sample:
                values = (f"{label(name)}={shortened(cell(value), CELL)}" for name, value in row.items())
                yield f"- {escaped('  '.join(values))}"
            yield ""
    facts = [[title(f), shown(f.value, f.unit)] for f in scalars(report)]
    facts += [[title(f), "; ".join(map(plain, f.value))] for f in lists(report)]
    facts += [[title(f), summary(f) or "; ".join(named(f))] for f in states(report)]
    if facts:
        yield from _table(["fact", "value"], facts)
    for table in tables(report):
        yield from (f"**{escaped(table.title)}**", "")
        yield from _rows(table)
    if report.steps:
        yield from _rows(step_table("steps", report))
    for name, lines in next_lines(report.next):
        for line in lines:
            yield from (f"{name.capitalize()}: {escaped(line)}", "")


def _rows(table: Table) -> list[str]:
    return _table(table.columns, [[value.text for value in row] for row in table.rows])


def _table(names: list[str], rows: list[list[str]]) -> list[str]:
    return [_cells(names), "|" + " --- |" * len(names), *map(_cells, rows), ""]


def _finding(finding: Finding) -> list[str]:
    code = f" {finding.code}" if finding.code else ""
    counts = ["" if n is None else f"{n:,}" for n in (finding.count, finding.rows)]
    return [finding.severity, finding.slug + code, finding.subject, *counts, finding.problem, finding.help]


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(escaped(value) for value in cells) + " |"


def escaped(text: str) -> str:
    """Return text escaped for Markdown, so that it makes no table cell, link, HTML, entity or emphasis."""
    return _MARKUP.sub(r"\\\g<0>", plain(text))
