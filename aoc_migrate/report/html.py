"""Reports as one HTML page that needs nothing from elsewhere: no script, no font, no image, no request."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.report.formatting import by_severity, cell, fact, label, numeric, plain, sentence, shown
from aoc_migrate.report.html_style import STYLE
from aoc_migrate.report.model import Finding, Report

SHOWN = 50  # rows of a sample; the rest is in the JSON
_STEPS = ("statement", "attempts", "waited_ms", "held_ms", "total_ms", "estimated_ms", "rows", "paused_ms")
_SECONDS = ("max_stall", "deadline", "lock_wait", "batch_time", "max_lag_seconds", "old_snapshot", "snapshot_wait")
_VERDICTS = {0: "clean", 1: "look at the findings", 3: "try again later", 4: "ended half way, or not verified"}
_STATES = {"missing": "error", "changed": "error", "foreign": "error", "invalid": "error", "guarded": "warning"}


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
    mark = "ok" if exit_code == 0 else "error"
    said = f"exit code {exit_code}: {_VERDICTS.get(exit_code, 'look at the findings')}"
    body = tag(
        "body",
        tag("a", "Skip to the report", class_="skip", href="#report"),
        tag("header", tag("h1", title), tag("p", _mark(mark), " ", said)),
        tag(
            "main",
            _summary(reports) if len(reports) > 1 else None,
            *(_report(report, f"target-{n}") for n, report in enumerate(reports)),
            id="report",
        ),
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


def _mark(severity: str, text: str | None = None) -> Html:
    return tag("strong", text or severity, class_=f"mark {severity}")


def _summary(reports: list[Report]) -> Html:
    rows = [
        [
            tag("a", report.target, href=f"#target-{n}"),
            _mark("error" if report.errors else "ok"),
            len(report.errors),
            sum(finding.severity == "warning" for finding in report.findings),
            "yes" if report.changed else "no",
            report.revision or ("base" if report.reached else "unknown"),
            report.head,
        ]
        for n, report in enumerate(reports)
    ]
    return _table("Summary", ("target", "verdict", "errors", "warnings", "changed", "revision", "head"), rows)


def _report(report: Report, anchor: str) -> Html:
    name = report.target
    plain_facts = [fact(k, v) for k, v in report.facts.items() if not (v and isinstance(v, dict | list))]
    return tag(
        "section",
        tag("h2", name, id=anchor),
        tag("p", sentence(report)),
        tag("p", "Next: ", tag("code", report.next)) if report.next else None,
        *_findings(report),
        _steps(report) if report.steps else None,
        tag("div", tag("h3", "Facts"), _table(f"{name}: facts", ("fact", "value"), plain_facts))
        if plain_facts
        else None,
        *(_fact_table(name, k, v) for k, v in report.facts.items() if v and isinstance(v, dict | list)),
        aria_labelledby=anchor,
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
    return Html("\n".join(escape(plain(line)) for line in text.split("\n")))


def _sample(finding: Finding) -> Html:
    more = len(finding.sample) - SHOWN
    told = f"Sample of {finding.slug}: {len(finding.sample):,} row{'s' * (len(finding.sample) != 1)}"
    rows = finding.sample[:SHOWN]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) == 1:
        inside = tag("ul", *(tag("li", cell(row[names[0]])) for row in rows), class_="short", aria_label=names[0])
    else:
        inside = _table(f"{told} on {finding.subject}", names, ([row.get(name) for name in names] for row in rows))
    return _details(told + (f", {more:,} of them only in the JSON" if more > 0 else ""), inside)


def _details(summary: str, inside: Html) -> Html:
    return tag("details", tag("summary", summary), inside)


def _steps(report: Report) -> Html:
    longest = max(report.steps, key=_stall)
    rows = [[*(step.get(name) for name in _STEPS), _stalled(step, _stall(longest))] for step in report.steps]
    told = "A stall is how long a strong lock was waited for and held: others may have waited for so long."
    most = f" The longest: {_stall(longest):,} ms, {longest['statement']}"
    return tag(
        "div",
        tag("h3", "Steps"),
        tag("p", told, most) if _stall(longest) else None,
        _table(f"{report.target}: steps in order", (*_STEPS, "stall"), rows),
    )


def _stalled(step: dict[str, Any], longest: float) -> Html | None:
    return _bar(_stall(step), longest, "ms") if "held_ms" in step else None


def _stall(step: dict[str, Any]) -> float:
    return round(float(step.get("waited_ms", 0)) + float(step.get("held_ms", 0)), 3)


def _bar(value: float, longest: float, unit: str) -> Html:
    """Return a bar and its value in words; the bar alone tells nothing."""
    width = 100 * value / longest if longest else 0
    drawn = tag("rect", width=f"{width:.1f}", height="10", class_="bar")
    svg = tag("svg", drawn, viewBox="0 0 100 10", width="100", height="10", aria_hidden="true")
    return tag("span", svg, f" {value:,} {unit}".rstrip(), class_="measure")


def _fact_table(name: str, key: str, value: Any) -> Html:
    heading = tag("h3", label(key).capitalize())
    caption = f"{name}: {label(key)}"
    if key == "chain_depths":
        bars = [[depth, _bar(documents, max(value.values()), "")] for depth, documents in value.items()]
        table = _table(f"{name}: documents by number of revisions", ("revisions", "documents"), bars)
    elif isinstance(value, dict):
        table = _table(caption, ("name", "state"), ([k, _state(v)] for k, v in value.items()))
    elif all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(column for row in value for column in row))
        table = _table(caption, names, ([row.get(column) for column in names] for row in value))
    else:
        table = tag("ul", *(tag("li", item) for item in value))
    return tag("div", heading, table)


def _state(value: Any) -> Any:
    return _mark(_STATES[value], value) if isinstance(value, str) and value in _STATES else value


def _table(caption: str, names: Iterable[str], rows: Iterable[Iterable[object]]) -> Html:
    lines = [list(row) for row in rows]
    aligned = [
        (name, "number" if all(line[n] is None or numeric(line[n]) for line in lines) else "text")
        for n, name in enumerate(names)
    ]
    head = tag("tr", *(tag("th", label(name), scope="col", class_=side) for name, side in aligned))
    body = [tag("tr", *(_cell(v, side) for v, (_, side) in zip(line, aligned, strict=True))) for line in lines]
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", table, class_="scroll", role="group", tabindex="0", aria_label=caption)


def _cell(value: object, side: str) -> Html:
    return tag("td", value if isinstance(value, Html) else shown(value), class_=side)


def _footer(reports: list[Report], json: str) -> Html:
    given = {key: value for report in reports for key, value in report.parameters.items()}
    known = {
        "aoc-migrate": __version__,
        **{f"PostgreSQL of {r.target}": r.server_version for r in reports if r.server_version},
        **{
            label(key): f"{value:g} s" if key in _SECONDS and value is not None else value
            for key, value in given.items()
        },
        "SHA-256 of the JSON": tag("code", hashlib.sha256(json.encode()).hexdigest()),
    }
    return tag(
        "footer",
        tag("h2", "Made with"),
        _table("Versions and parameters", ("name", "value"), known.items()),
        tag("p", "The sum is that of this report as --format json writes it: compare with sha256sum."),
    )
