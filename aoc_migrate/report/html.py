"""Reports as one self-contained HTML page: no script, no font, no image, no request."""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.facts.checked import CheckFacts
from aoc_migrate.report.facts.raw_rows import AuditFacts
from aoc_migrate.report.facts.target_state import CatalogFacts
from aoc_migrate.report.fields import Unit
from aoc_migrate.report.formatting import label, plain, shown, title
from aoc_migrate.report.model import Report
from aoc_migrate.report.page import grid, picture
from aoc_migrate.report.page.card import Card, Cards
from aoc_migrate.report.page.header import header
from aoc_migrate.report.page.words import glossary
from aoc_migrate.report.tables import lists, scalars, states, step_table, tables
from aoc_migrate.report.verdict import next_lines, sentence

_TEMPLATES = Path(__file__).parent / "page"
_CODE = r'(?s)<details class="rule">.*?</details>|<pre.*?</pre>'
_SECONDS = (
    "max_stall",
    "deadline",
    "lock_wait",
    "batch_time",
    "max_lag_seconds",
    "old_snapshot",
    "snapshot_wait",
    "vacuum_wait",
)


class View(NamedTuple):
    """The values of a report on the page."""

    report: Report
    place: str
    sentence: str
    next: list[tuple[str, list[str]]]
    cards: list[Card]
    tiles: list[tuple[str, str]]
    checked: grid.Grid | None
    steps: picture.Steps | None
    figures: grid.Part | None
    facts: list[tuple[str, str]]
    lists: list[tuple[str, list[str]]]
    histograms: list[picture.Histogram]
    parts: list[grid.Part]


def style() -> str:
    """Return the style sheet, for light and dark, narrow and wide screens, and print."""
    return (_TEMPLATES / "page.css").read_text(encoding="utf-8")


def page(command: str, reports: list[Report], exit_code: int, note: str = "") -> str:
    """Return the page of the reports of a command, with a ``note`` on what the page is, if any."""
    cards = Cards()
    values = {
        "title": f"aoc-migrate {command}: {', '.join(report.target for report in reports)}",
        "header": header(reports, exit_code),
        "note": note,
        "views": [_view(report, f"target-{n}", cards) for n, report in enumerate(reports)],
        "parameters": list(_parameters(reports)),
    }
    return rendered("report.html.j2", **values)


def rendered(template: str, **values: Any) -> str:
    """Return a page with its style sheet and the glossary of the words that it uses."""
    body = Markup(_templates().get_template(template).render(**values))  # noqa: S704 - it is escaped
    verdict = values["header"]
    words = glossary(re.sub(r"<[^>]+>", " ", re.sub(_CODE, " ", body)))
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            title=values["title"],
            summary=f"{verdict.word}: {verdict.said}" if verdict else values["said"],
            style=Markup(style()),  # noqa: S704 - a file of ours
            body=body,
            words=words,
        )
    )


@cache
def _templates() -> Environment:
    """Return the templates, compiled once for all pages of a run."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
    )
    templates.filters |= {"lines": _lines, "digest": _digest}
    return templates


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _lines(text: str) -> Markup:
    """Return escaped text that keeps its line breaks."""
    return Markup("\n").join(escape(plain(line)) for line in text.split("\n"))


def _view(report: Report, place: str, cards: Cards) -> View:
    name, of_checks = report.target, {"checks", "checks_passed", "checks_not_passed"}
    parts = [grid.states(f"{name}: {title(field)}", field) for field in states(report)]
    measured = [table for table in tables(report) if table.bars]
    parts += [
        grid.part(f"{name}: {t.title}", t) for t in tables(report) if not t.bars and t.title not in of_checks
    ]
    steps = grid.part(f"{name}: steps in order", step_table("all figures", report)) if report.steps else None
    return View(
        report,
        place,
        sentence(report),
        list(next_lines(report.next)),
        list(cards.of(report, place)),
        list(_tiles(report)),
        grid.checks(f"{name}: what was checked", checks) if (checks := report.get(CheckFacts)) else None,
        picture.steps(report),
        steps,
        [(title(f), shown(f.value, f.unit)) for f in scalars(report) if f.name not in of_checks],
        [(title(f).capitalize(), list(f.value)) for f in lists(report)],
        [picture.histogram(name, table) for table in measured],
        parts,
    )


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the numbers that say most, and what they count."""
    chains, audited, catalog = report.get(ChainFacts), report.get(AuditFacts), report.get(CatalogFacts)
    checks = report.get(CheckFacts)
    rows = chains.rows if chains else audited.rows if audited else None
    if rows is not None:
        yield "rows read", f"{rows:,}"
    for states_, good, what in (
        (catalog.rules if catalog else {}, "proven", "rules proven"),
        (catalog.indexes if catalog else {}, "valid", "indexes valid"),
    ):
        if states_:
            yield what, f"{sum(state == good for state in states_.values())} of {len(states_)}"
    if chains:
        yield "links followed", f"{chains.linked:,}"
    for check in checks.checks if checks else ():
        if check.unit == "bad rows" and check.checked is not None:
            yield "bad rows refused", f"{check.checked - check.failed:,} of {check.checked:,}"
    if checks:
        yield "checks passed", f"{checks.checks_passed} of {len(checks.checks)}"


def _parameters(reports: list[Report]) -> Iterator[tuple[str, str]]:
    parameters = {key: value for report in reports for key, value in report.parameters.items()}
    for key, value in parameters.items():
        seconds = f"{value:g} s" if key in _SECONDS and value is not None else ""
        yield label(key), seconds or shown(value, Unit("_bytes") if key.endswith("_bytes") else None)
