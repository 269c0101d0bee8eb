"""Reports as table (for people), JSON and NDJSON (for programs), Markdown (for tickets) and HTML (to keep)."""

import json
import re
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.report.formatting import by_severity, cell, fact, label, place, plain, sentence, shown, verdict
from aoc_migrate.report.model import Finding, Report

SCHEMA = 1
SAMPLE_LINES = 5

_MARKUP = r"[\\`*\[\]<>|&~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=\bwww)\."
_MARK = {"error": "ERROR", "warning": "warning", "info": "info"}


def render(form: str, command: str, reports: list[Report], exit_code: int) -> str:
    """Return the whole output of a command in ``form``: table, json, ndjson, markdown or html."""
    if form == "json":
        return _json(command, reports, exit_code)
    if form == "ndjson":
        return "".join(_ndjson(command, report) for report in reports)
    if form == "html":
        from aoc_migrate.report.html import page

        return page(command, reports, exit_code, _json(command, reports, exit_code))
    draw = _markdown if form == "markdown" else _table
    return "\n".join(draw(command, report) for report in reports)


def _json(command: str, reports: list[Report], exit_code: int) -> str:
    body = {
        "schema": SCHEMA,
        "command": command,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "versions": {"aoc_migrate": __version__},
        "reports": [_report(report) for report in reports],
    }
    return json.dumps(body, indent=2, ensure_ascii=True, default=str) + "\n"


_KEYS = ("target", "revision", "head", "changed", "exit_code", "findings", "facts", "steps", "next")


def _report(report: Report) -> dict[str, Any]:
    fields = {"exit_code": report.exit_code, **asdict(report), "findings": [_finding(f) for f in report.findings]}
    return {key: fields[key] for key in (*_KEYS, "server_version", "parameters")}


def _finding(finding: Finding) -> dict[str, Any]:
    return {key: value for key, value in asdict(finding).items() if key != "exit_code"}


def _ndjson(command: str, report: Report) -> str:
    """Return one finding a line, each with its command and target; a clean report is no line at all."""
    about = {"command": command, "target": report.target, "revision": report.revision}
    lines = (json.dumps(about | _finding(finding), default=str) for finding in report.findings)
    return "".join(f"{line}\n" for line in lines)


def _table(command: str, report: Report) -> str:
    lines = [f"{command} {plain(report.target)}{f': {place(report)}' if place(report) else ''}"]
    for finding in by_severity(report.findings):
        lines += _finding_lines(finding)
    lines += [f"  {name}: {_fact(value)}".replace(": \n", ":\n", 1) for name, value in _facts(report.facts)]
    lines += [f"  ran: {_step(step)}" for step in report.steps]
    lines.append(f"  {verdict(report)}")
    if report.next:
        lines.append(f"  next: {plain(report.next)}")
    return "\n".join(lines) + "\n"


def _finding_lines(finding: Finding) -> list[str]:
    code = f" {finding.code}" if finding.code else ""
    lines = [f"  {_MARK[finding.severity]} {finding.slug}{code} {plain(finding.subject)}"]
    lines += textwrap.wrap(plain(finding.problem), 96, initial_indent="    ", subsequent_indent="    ")
    lines += textwrap.wrap(f"-> {plain(finding.help)}", 96, initial_indent="    ", subsequent_indent="       ")
    lines += [f"       {_pairs(row)}" for row in finding.sample[:SAMPLE_LINES]]
    more = len(finding.sample) - SAMPLE_LINES
    if more > 0:
        lines.append(f"       … {more} more in --format json")
    return lines


def _pairs(row: dict[str, Any], width: int = 160) -> str:
    return "  ".join(f"{name}={_short(cell(value), width)}" for name, value in (_pair(*p) for p in row.items()))


def _pair(key: str, value: Any) -> tuple[str, Any]:
    name, said = fact(key, value)
    return (plain(key), value) if said is value else (name, said)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _facts(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    return [fact(key, _rows(key, value) or value) for key, value in facts.items()]


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"\n    {_pairs(v) if isinstance(v, dict) else plain(v)}" for v in value) or "none"
    return (_named(value) if value else "none") if isinstance(value, dict) else shown(value)


def _named(values: dict[str, Any]) -> str:
    """Return names with a value each; one that several have is said once."""
    most, times = Counter(map(plain, values.values())).most_common(1)[0]
    if times == 1:
        return "".join(f"\n    {plain(name)}: {shown(value)}" for name, value in values.items())
    if times == len(values):
        return f"{times}, all {most}"
    others = [f"{plain(name)} {plain(value)}" for name, value in values.items() if plain(value) != most]
    return f"{times} of {len(values)} {most}; {', '.join(others)}"


def _step(step: dict[str, Any]) -> str:
    told = (
        (key, _fact(value).replace("\n    ", " ").strip()) for key, value in step.items() if key != "statement"
    )
    rest = ", ".join(f"{key} {value}" for key, value in told)
    return f"{plain(step['statement'])} ({rest})"


def _markdown(command: str, report: Report) -> str:
    lines = [f"## {command} {_escape(report.target)}", "", sentence(report), ""]
    if report.findings:
        names = ["severity", "finding", "subject", "count", "rows", "problem", "help"]
        lines += _md_table(names, [_finding_cells(f) for f in by_severity(report.findings)])
    for finding in report.findings:
        if finding.sample:
            lines += [f"**{finding.slug}** {_escape(finding.subject)}, sample:", ""]
            lines += [f"- {_escape(_pairs(row, 400))}" for row in finding.sample]
            lines.append("")
    tables = {key: rows for key, value in report.facts.items() if (rows := _rows(key, value))}
    facts = {key: value for key, value in report.facts.items() if key not in tables}
    if facts:
        lines += _md_table(
            ["fact", "value"],
            [[name, _fact(value).strip().replace("\n    ", "; ")] for name, value in _facts(facts)],
        )
    for key, rows in tables.items():
        lines += [f"**{label(key)}**", ""]
        lines += _md_table(list(rows[0]), [[shown(value) for value in row.values()] for row in rows])
    if report.steps:
        names = ["statement", "attempts", "waited_ms", "held_ms", "total_ms", "estimated_ms", "rows", "paused_ms"]
        lines += _md_table(names, [[plain(step.get(name, "")) for name in names] for step in report.steps])
    if report.next:
        lines += [f"Next: {_escape(report.next)}", ""]
    return "\n".join(lines)


def _rows(key: str, value: Any) -> list[dict[str, Any]]:
    """Return a fact as the rows of a table, or none where it is told in one cell."""
    if key == "chain_depths":
        return [{"revisions": depth, "documents": documents} for depth, documents in value.items()]
    return value if isinstance(value, list) and all(isinstance(row, dict) for row in value) else []


def _md_table(names: list[str], rows: list[list[str]]) -> list[str]:
    return [_cells([label(name) for name in names]), "|" + " --- |" * len(names), *map(_cells, rows), ""]


def _finding_cells(finding: Finding) -> list[str]:
    code = f" {finding.code}" if finding.code else ""
    counts = ["" if n is None else f"{n:,}" for n in (finding.count, finding.rows)]
    return [finding.severity, finding.slug + code, finding.subject, *counts, finding.problem, finding.help]


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is: no table cell, link, HTML, entity or emphasis comes out of it."""
    return re.sub(_MARKUP, r"\\\g<0>", plain(text), flags=re.IGNORECASE)
