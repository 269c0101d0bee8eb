"""Reports as one HTML page that needs nothing from elsewhere: no script, no font, no image, no request."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.report.html_style import STYLE
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.words import by_severity, cell, label, place, plain, value_of, verdict

SHOWN = 50  # rows of a sample; the rest is in the JSON
_STEPS = ("statement", "attempts", "waited_ms", "held_ms", "total_ms", "rows")
_NUMBERS = (*_STEPS[1:], "count", "groups", "seconds", "run")


class Html(str):
    """Markup that is safe as it is; any other text is escaped where it becomes a child or an attribute."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element; ``_`` in an attribute's name is ``-``, and ends a name that Python keeps for itself."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(plain(str(value)))}"' for key, value in attributes.items()
    )
    inner = "".join(c if isinstance(c, Html) else escape(plain(c)) for c in children if c is not None)
    return Html(f"<{name}{given}>{inner}</{name}>")


def page(command: str, reports: list[Report], exit_code: int, json: str) -> str:
    """Return the page; ``json`` is the same report in that form, whose SHA-256 the page shows."""
    title = f"aoc-migrate {command}: {', '.join(report.target for report in reports)}"
    good = exit_code == 0
    said = "exit code 0: clean" if good else f"exit code {exit_code}: look at the findings"
    body = tag(
        "body",
        tag("a", "Skip to the report", class_="skip", href="#report"),
        tag("header", tag("h1", title), tag("p", _mark("ok" if good else "error"), " ", said, class_="verdict")),
        tag("main", *(_report(report, command) for report in reports), id="report"),
        _footer(reports, json),
    )
    policy = f"default-src 'none'; style-src 'sha256-{_sha256(STYLE)}'"
    head = "".join(
        [
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            tag("title", title),
            f"<style>{STYLE}</style>",
        ]
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _mark(severity: str) -> Html:
    return tag("strong", severity, class_=f"mark {severity}")


def _report(report: Report, command: str) -> Html:
    name = report.target
    facts = dict(report.facts)
    depths = facts.pop("chain_depths", None)
    tables = {key: value for key, value in facts.items() if value and isinstance(value, dict | list)}
    plain_facts = [[label(key), value_of(key, value)] for key, value in facts.items() if key not in tables]
    return tag(
        "section",
        tag("h2", name, id=name),
        tag("p", verdict(report), ".", f" Revision {place(report)}." if place(report) else ""),
        tag("p", "Next: ", tag("code", report.next)) if report.next else None,
        *_findings(report),
        _steps(report, command) if report.steps else None,
        _depths(name, depths) if depths else None,
        *(_fact_table(name, key, value) for key, value in tables.items()),
        _table(f"{name}: facts", ("fact", "value"), plain_facts) if plain_facts else None,
        aria_labelledby=name,
    )


def _findings(report: Report) -> Iterator[Html]:
    yield tag("h3", "Findings")
    if not report.findings:
        yield tag("p", "None.")
    for finding in by_severity(report.findings):
        yield _finding(finding)


def _finding(finding: Finding) -> Html:
    code = Html("")
    if finding.code:
        code = Html(f" {tag('code', finding.code)}")
    return tag(
        "article",
        tag("h4", _mark(finding.severity), " ", finding.slug, code, " ", tag("code", finding.subject)),
        tag("p", finding.problem),
        tag("p", tag("b", "What to do: "), finding.help),
        _details("Query", tag("pre", _lines(finding.statement))) if finding.statement else None,
        _sample(finding) if finding.sample else None,
        class_=finding.severity,
    )


def _lines(text: str) -> Html:
    """Return text whose line breaks stay, as a query's should."""
    return Html("\n".join(escape(plain(line)) for line in text.splitlines()))


def _sample(finding: Finding) -> Html:
    more = len(finding.sample) - SHOWN
    told = f"Sample of {finding.slug}: {len(finding.sample):,} rows"
    rows = finding.sample[:SHOWN]
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return _details(
        told + (f", {more:,} of them only in the JSON" if more > 0 else ""),
        _table(f"{told} on {finding.subject}", names, ([row.get(name) for name in names] for row in rows)),
    )


def _details(summary: str, inside: Html) -> Html:
    return tag("details", tag("summary", summary), inside)


def _steps(report: Report, command: str) -> Html:
    longest = max((_stall(step) for step in report.steps), default=0.0)
    rows = [[*(step.get(name) for name in _STEPS), _stalled(step, longest)] for step in report.steps]
    told = f"Waiting for a strong lock and holding it took {longest:g} ms at the longest; nobody waited longer."
    return tag(
        "div",
        tag("h3", "Steps"),
        tag("p", told),
        _table(f"{report.target}: what {command} ran", (*_STEPS, "stall"), rows),
    )


def _stalled(step: dict[str, Any], longest: float) -> Html | None:
    return _bar(_stall(step), longest, "ms") if "held_ms" in step else None


def _stall(step: dict[str, Any]) -> float:
    return float(step.get("waited_ms", 0)) + float(step.get("held_ms", 0))


def _bar(value: float, longest: float, unit: str) -> Html:
    """Return a bar and its value in words; the bar alone tells nothing."""
    width = 100 * value / longest if longest else 0
    drawn = tag("rect", width=f"{width:.1f}", height="10", class_="bar")
    return Html(
        f"{tag('svg', drawn, viewBox='0 0 100 10', width='100', height='10', aria_hidden='true')} "
        f"{tag('span', f'{value:,g} {unit}'.strip(), class_='number')}"
    )


def _depths(name: str, depths: dict[str, int]) -> Html:
    longest = max(depths.values())
    rows = [[depth, _bar(documents, longest, "")] for depth, documents in depths.items()]
    return tag(
        "div",
        tag("h3", "Chain depths"),
        _table(f"{name}: documents by number of revisions", ("revisions", "documents"), rows),
    )


def _fact_table(name: str, key: str, value: Any) -> Html:
    heading = tag("h3", label(key).capitalize())
    caption = f"{name}: {label(key)}"
    if isinstance(value, dict):
        return tag("div", heading, _table(caption, ("name", "state"), value.items()))
    if not all(isinstance(row, dict) for row in value):
        return tag("div", heading, tag("ul", *(tag("li", item) for item in value)))
    names = tuple(dict.fromkeys(column for row in value for column in row))
    return tag("div", heading, _table(caption, names, ([row.get(column) for column in names] for row in value)))


def _table(caption: str, names: Iterable[str], rows: Iterable[Iterable[object]]) -> Html:
    names = list(names)
    head = tag("tr", *(tag("th", label(name), scope="col") for name in names))
    lines = [tag("tr", *(_cell(name, value) for name, value in zip(names, row, strict=True))) for row in rows]
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *lines))
    return tag("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _cell(name: str, value: object) -> Html:
    if isinstance(value, Html):
        return tag("td", value)
    if name in _NUMBERS:
        return tag("td", f"{value:,}" if isinstance(value, int) else cell(value), class_="number")
    return tag("td", cell(value))


def _footer(reports: list[Report], json: str) -> Html:
    known = {
        "aoc-migrate": __version__,
        **{f"PostgreSQL of {r.target}": r.server_version for r in reports if r.server_version},
        **{key: value for report in reports for key, value in report.parameters.items()},
        "SHA-256 of the JSON": hashlib.sha256(json.encode()).hexdigest(),
    }
    made = _table("Versions and parameters", ("name", "value"), known.items())
    return tag("footer", tag("h2", "Made with"), made)
