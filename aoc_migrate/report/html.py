"""Reports as one self-contained HTML page: no script, no font, no image, no request."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from aoc_migrate.report.formatting import by_severity, cell, duration, label, plain, shown, title
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.tables import Table, lists, sample_table, scalars, states, step_table, tables
from aoc_migrate.report.verdict import bound_lines, longest_stall, sentence, word

SAMPLE_ROWS = 50  # the rest is in the JSON
_HERE = Path(__file__).parent
_SECONDS = ("max_stall", "deadline", "lock_wait", "batch_time", "max_lag_seconds", "old_snapshot", "snapshot_wait")
_MEANINGS = {0: "clean", 1: "see the findings", 3: "try again later", 4: "failed half way, or verify failed"}
_VERDICTS = {"PASSED": "ok", "HELD": "warning", "FINDINGS": "error", "FAILED": "error"}
_MARKS = {"missing": "error", "changed": "error", "foreign": "error", "invalid": "error", "guarded": "warning"}


@dataclass(frozen=True)
class Shown:
    """A cell: its text, with the mark of a severity, a bar (in percent) or a link, if any."""

    text: str
    mark: str = ""
    bar: float | None = None
    link: str = ""


class Grid(NamedTuple):
    """A table of the page: each column has a name and an alignment, number or text."""

    caption: str
    columns: list[tuple[str, str]]
    rows: list[list[Shown]]


class Sample(NamedTuple):
    """The sample of a finding: a table, or only ids."""

    summary: str
    grid: Grid
    name: str
    ids: list[str] | None


class View(NamedTuple):
    """The values of a report on the page."""

    report: Report
    sentence: str
    findings: list[Finding]
    steps: Grid | None
    longest: str
    facts: Grid
    lists: list[tuple[str, list[str]]]
    tables: list[tuple[str, Grid]]


def style() -> str:
    """Return the style sheet, for light and dark, narrow and wide screens, and print."""
    return (_HERE / "report.css").read_text(encoding="utf-8")


def page(command: str, reports: list[Report], exit_code: int) -> str:
    """Return the page."""
    templates = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
    )
    templates.filters |= {"lines": _lines, "digest": _digest, "sample": _sample}
    return templates.get_template("report.html.j2").render(
        title=f"aoc-migrate {command}: {', '.join(report.target for report in reports)}",
        exit_code=exit_code,
        meaning=_MEANINGS.get(exit_code, "see the findings"),
        style=Markup(style()),  # noqa: S704 - a file of ours
        views=[_view(report) for report in reports],
        summary=_summary(reports),
        made_with=_made_with(reports),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _lines(text: str) -> Markup:
    """Return escaped text that keeps its line breaks."""
    return Markup("\n").join(escape(plain(line)) for line in text.split("\n"))


def _view(report: Report) -> View:
    name = report.target
    longest = longest_stall(report)
    stall = longest.stall_ms if longest else None
    grids = [(title(f), _named(f"{name}: {title(f)}", f.pairs, f.value)) for f in states(report)]
    grids += [
        (table.title, _measured(name, table) if table.bars else _plain(name, table)) for table in tables(report)
    ]
    return View(
        report,
        sentence(report),
        by_severity(report.findings),
        _steps(report, stall or 0) if report.steps else None,
        f"The longest: {duration(stall / 1000)}, {longest.statement}" if longest and stall else "",
        _grid(f"{name}: facts", ("fact", "value"), ([title(f), shown(f.value, f.unit)] for f in scalars(report))),
        [(title(f).capitalize(), list(f.value)) for f in lists(report)],
        [(heading.capitalize(), grid) for heading, grid in grids],
    )


def _grid(caption: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> Grid:
    return Grid(caption, [(name, "text") for name in names], [[Shown(value) for value in row] for row in rows])


def _plain(target: str, table: Table) -> Grid:
    alignments = ["number" if number else "text" for number in table.numbers()]
    rows = [[Shown(value.text) for value in row] for row in table.rows]
    return Grid(f"{target}: {table.title}", list(zip(table.columns, alignments, strict=True)), rows)


def _named(caption: str, pairs: Any, values: dict[str, Any]) -> Grid:
    """Return a table of names and states, with marks on bad states."""
    rows = [[Shown(name), Shown(shown(value), _MARKS.get(value, ""))] for name, value in values.items()]
    return Grid(caption, [(pairs.name, "text"), (pairs.value, "text")], rows)


def _measured(target: str, table: Table) -> Grid:
    """Return a table of sizes, each with a bar and its number."""
    name, value = table.columns
    largest = max(size.value for _, size in table.rows)
    rows = [[Shown(item.text), _bar(size.text, size.value, largest)] for item, size in table.rows]
    return Grid(f"{target}: {value} by number of {name}", [(name, "text"), (value, "text")], rows)


def _bar(text: str, value: float, longest: float) -> Shown:
    return Shown(text, bar=round(100 * value / longest if longest else 0, 1))


def _steps(report: Report, longest: float) -> Grid:
    grid = _plain(report.target, step_table("steps in order", report))
    for row, step in zip(grid.rows, report.steps, strict=True):
        stall = step.stall_ms
        row.append(Shown("-") if stall is None else _bar(duration(stall / 1000), stall, longest))
    return Grid(grid.caption, [*grid.columns, ("stall", "text")], grid.rows)


def _sample(finding: Finding) -> Sample:
    rows, more = len(finding.sample), len(finding.sample) - SAMPLE_ROWS
    summary = f"Sample of {finding.slug}: {rows:,} row{'s' * (rows != 1)}"
    table = sample_table(f"{summary} on {finding.subject}", finding.sample[:SAMPLE_ROWS])
    grid = _plain(finding.slug, table)._replace(caption=table.title)
    names = list(finding.sample[0])
    ids = [cell(row[names[0]]) for row in finding.sample[:SAMPLE_ROWS]] if len(table.columns) == 1 else None
    return Sample(summary + (f", {more:,} of them only in the JSON" if more > 0 else ""), grid, names[0], ids)


def _summary(reports: list[Report]) -> Grid:
    names = ("target", "verdict", "errors", "warnings", "changed", "revision", "head")
    rows = [
        [
            Shown(report.target, link=f"#target-{n}"),
            Shown(word(report), _VERDICTS[word(report)]),
            Shown(shown(len(report.errors))),
            Shown(shown(sum(finding.severity == "warning" for finding in report.findings))),
            Shown("yes" if report.changed else "no"),
            Shown(report.revision or ("base" if report.reached else "unknown")),
            Shown(cell(report.head)),
        ]
        for n, report in enumerate(reports)
    ]
    return Grid(
        "Summary", [(name, "number" if name in ("errors", "warnings") else "text") for name in names], rows
    )


def _made_with(reports: list[Report]) -> Grid:
    return _grid("Versions and parameters", ("name", "value"), _known(reports))


def _known(reports: list[Report]) -> Iterator[list[str]]:
    yield from ([f"{r.target}: {name}", bound] for r in reports for name, bound in bound_lines(r))
    parameters = {key: value for report in reports for key, value in report.parameters.items()}
    for key, value in parameters.items():
        yield [label(key), f"{value:g} s" if key in _SECONDS and value is not None else shown(value)]
