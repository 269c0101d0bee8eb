"""Reports as text for people, with tables. Commands to type are never wrapped."""

import textwrap
from collections.abc import Iterator
from io import StringIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from aoc_migrate.report.formatting import by_severity, plain, shortened, title
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.tables import Table, lists, named, sample_table, states, step_table, summary, tables
from aoc_migrate.report.verdict import ending, fact_lines, heading

SAMPLE_ROWS = 5
CELL = 160  # characters; the JSON has the rest
_WORD = 28  # characters; a longer word may be wrapped
_GAP = 2
_LEAST_WIDTH = 40
_MARK = {"error": "ERROR", "warning": "warning", "info": "info"}


def text(command: str, reports: list[Report], width: int) -> str:
    """Return the reports of a command; tables are at most ``width`` columns wide."""
    width = max(width, _LEAST_WIDTH)
    return "\n".join("\n".join(_lines(command, report, width)) + "\n" for report in reports)


def _lines(command: str, report: Report, width: int) -> Iterator[str]:
    yield heading(command, report)
    for finding in by_severity(report.findings):
        yield from _finding(finding, width)
    if report.findings:
        yield f"  to explain a finding: aoc-migrate explain {by_severity(report.findings)[0].slug}"
    yield from fact_lines(report)
    for field in lists(report):
        yield f"  {title(field)}:"
        yield from (f"    {plain(item)}" for item in field.value)
    for field in states(report):
        line = summary(field.value)
        yield f"  {title(field)}:{f' {line}' if line else ''}"
        yield from (f"    {value}" for value in ([] if line else named(field.value)))
    for table in tables(report):
        yield f"  {table.title}:"
        yield from _table(table, 4, width)
    if report.steps:
        yield "  steps:"
        yield from _table(step_table("steps", report), 4, width)
    yield from ending(report)


def _finding(finding: Finding, width: int) -> Iterator[str]:
    code = f" {finding.code}" if finding.code else ""
    yield f"  {_MARK[finding.severity]} {finding.slug}{code} {plain(finding.subject)}"
    yield from textwrap.wrap(plain(finding.problem), width, initial_indent="    ", subsequent_indent="    ")
    yield f"    -> {plain(finding.help)}"
    if finding.sample:
        yield from _table(sample_table("sample", finding.sample[:SAMPLE_ROWS]), 7, width)
    more = len(finding.sample) - SAMPLE_ROWS
    if more > 0:
        yield f"       … {more} more in --format json"


def _table(table: Table, indent: int, width: int) -> Iterator[str]:
    """Yield a table without its empty columns; if it is too wide, yield each row as a list of names and values."""
    used = [n for n in range(len(table.columns)) if any(row[n].text != "-" for row in table.rows)]
    names = [table.columns[n] for n in used]
    rows = [[shortened(row[n].text, CELL) for n in used] for row in table.rows]
    numbers = [table.numbers()[n] for n in used]
    widths = _widths(names, rows, numbers, width - indent)
    if widths is not None:
        yield from _drawn(_grid(names, rows, numbers, widths), indent, width)
        return
    for row in rows:
        yield from _drawn(_pairs(names, row), indent, width)
        yield ""


def _widths(names: list[str], rows: list[list[str]], numbers: list[bool], room: int) -> list[int] | None:
    """Return the widths of columns, or None where there is not room for them.

    Texts are wrapped where they must be; numbers are not, nor words, unless they are very long.
    """
    widths, wanted = [], []
    for name, column, number in zip(names, zip(*rows, strict=True), numbers, strict=True):
        words = [word for value in column for word in ([value] if number else value.split())]
        widest = max(map(cell_len, words), default=0)
        widths.append(max(cell_len(name), widest if number else min(widest, _WORD)))
        wanted.append(max(map(cell_len, [name, *column])))
    spare = room - sum(widths) - _GAP * (len(widths) - 1)
    while spare > 0 and (narrow := [n for n, width in enumerate(widths) if width < wanted[n]]):
        for n in narrow[:spare]:
            widths[n] += 1
        spare -= len(narrow[:spare])
    return None if spare < 0 else widths


def _grid(names: list[str], rows: list[list[str]], numbers: list[bool], widths: list[int]) -> Grid:
    grid = Grid(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="")
    for name, number, width in zip(names, numbers, widths, strict=True):
        grid.add_column(Text(name), justify="right" if number else "left", overflow="fold", width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _pairs(names: list[str], row: list[str]) -> Grid:
    grid = Grid(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=False)
    for name, value in zip(names, row, strict=True):
        if value != "-":
            grid.add_row(Text(name, no_wrap=True), Text(value, overflow="fold"))
    return grid


def _drawn(grid: Grid, indent: int, width: int) -> Iterator[str]:
    written = StringIO()
    console = Console(
        file=written, width=width, color_system=None, markup=False, emoji=False, highlight=False, _environ={}
    )
    console.print(Padding(grid, (0, 0, 0, indent), expand=False))
    yield from (line.rstrip() for line in written.getvalue().splitlines())
