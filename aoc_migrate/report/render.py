"""Reports drawn as table (for people), JSON (for programs) and Markdown (for tickets).

Ids and vendor names come from outside: control characters are shown escaped, so none reaches a terminal.
"""

import json
import re
import textwrap
from dataclasses import asdict
from typing import Any

from aoc_migrate.report.model import Finding, Report

SCHEMA = 1
SAMPLE_LINES = 5

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARK = {"error": "ERROR", "warning": "warning", "info": "info"}


def render(form: str, command: str, reports: list[Report], exit_code: int) -> str:
    """Return the whole output of a command in ``form``: table, json or markdown; ends with a newline."""
    if form == "json":
        return _json(command, reports, exit_code)
    draw = _markdown if form == "markdown" else _table
    return "\n".join(draw(command, report) for report in reports)


def plain(value: Any) -> str:
    """Return ``value`` as one line of text without control characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group()):02x}", text.replace("\n", "\\n").replace("\t", "\\t"))


def _json(command: str, reports: list[Report], exit_code: int) -> str:
    body = {
        "schema": SCHEMA,
        "command": command,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "reports": [_report(report) for report in reports],
    }
    return json.dumps(body, indent=2, ensure_ascii=True, default=str) + "\n"


def _report(report: Report) -> dict[str, Any]:
    fields = asdict(report)
    for finding in fields["findings"]:
        finding.pop("exit_code")
    keys = ("target", "revision", "head", "changed", "exit_code", "findings", "facts", "steps", "next")
    return {key: report.exit_code if key == "exit_code" else fields[key] for key in keys}


def _verdict(report: Report) -> str:
    errors = len(report.errors)
    warnings = sum(f.severity == "warning" for f in report.findings)
    found = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    changed = "changed" if report.changed else "nothing changed"
    return f"{'OK' if not errors else 'NOT OK'}: {found}; {changed}"


def _place(report: Report) -> str:
    if not report.reached:
        return f"revision unknown (head {report.head})"
    return f"{report.revision or 'base'} (head {report.head})"


def _table(command: str, report: Report) -> str:
    lines = [f"{command} {report.target}: {_place(report)}"]
    for finding in sorted(report.findings, key=_rank):
        lines += _finding_lines(finding)
    lines += [f"  {key}: {_fact(value)}" for key, value in report.facts.items()]
    lines += [f"  ran: {_step(step)}" for step in report.steps]
    lines.append(f"  {_verdict(report)}")
    if report.next:
        lines.append(f"  next: {report.next}")
    return "\n".join(lines) + "\n"


def _rank(finding: Finding) -> int:
    return ("error", "warning", "info").index(finding.severity)


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
    return "  ".join(f"{key}={_short(_cell(value), width)}" for key, value in row.items())


def _cell(value: Any) -> str:
    return "-" if value is None or value == [] else plain(value)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"\n    {_pairs(v) if isinstance(v, dict) else plain(v)}" for v in value) or "none"
    if isinstance(value, dict):
        return "".join(f"\n    {key}: {plain(v)}" for key, v in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else plain(value)


def _step(step: dict[str, Any]) -> str:
    rest = ", ".join(f"{key} {_fact(value)}" for key, value in step.items() if key != "statement")
    return f"{plain(step['statement'])} ({rest})"


def _markdown(command: str, report: Report) -> str:
    lines = [
        f"## {command} {report.target}",
        "",
        f"{_verdict(report)}. Revision {_place(report)}.",
        "",
    ]
    if report.findings:
        lines += ["| severity | finding | subject | count | rows | problem | help |", "|" + " --- |" * 7]
        lines += [_cells(_finding_cells(f)) for f in sorted(report.findings, key=_rank)]
        lines.append("")
    for finding in report.findings:
        if finding.sample:
            lines += [f"**{finding.slug}** {_escape(finding.subject)}, sample:", ""]
            lines += [f"- {_escape(_pairs(row, 400))}" for row in finding.sample]
            lines.append("")
    tables = {key: rows for key, rows in report.facts.items() if rows and _is_table(rows)}
    facts = {key: value for key, value in report.facts.items() if key not in tables}
    if facts:
        lines += ["| fact | value |", "| --- | --- |"]
        lines += [_cells([key, _fact(value).strip().replace("\n    ", "; ")]) for key, value in facts.items()]
        lines.append("")
    for key, rows in tables.items():
        lines += [f"**{key}**", "", _cells(list(rows[0])), "|" + " --- |" * len(rows[0])]
        lines += [*(_cells([_cell(value) for value in row.values()]) for row in rows), ""]
    if report.steps:
        lines += ["| statement | attempts | waited ms | held ms | total ms | rows |", "|" + " --- |" * 6]
        names = ("statement", "attempts", "waited_ms", "held_ms", "total_ms", "rows")
        lines += [_cells([plain(step.get(name, "")) for name in names]) for step in report.steps]
        lines.append("")
    if report.next:
        lines += [f"Next: {_escape(report.next)}", ""]
    return "\n".join(lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _finding_cells(finding: Finding) -> list[str]:
    code = f" {finding.code}" if finding.code else ""
    counts = ["" if n is None else f"{n:,}" for n in (finding.count, finding.rows)]
    return [finding.severity, finding.slug + code, finding.subject, *counts, finding.problem, finding.help]


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is: no table cell, link, HTML or emphasis comes out of it."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", plain(text))
