"""Reports for programs: JSON with the schema docs/report.schema.json, and NDJSON, one finding per line."""

import json
from dataclasses import asdict
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.report.fields import data
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.verdict import word

SCHEMA = 2


def json_text(command: str, reports: list[Report], exit_code: int) -> str:
    """Return all reports of a command as one JSON document."""
    body = {
        "schema": SCHEMA,
        "command": command,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "versions": {"aoc_migrate": __version__},
        "reports": [_report(report) for report in reports],
    }
    return json.dumps(body, indent=2, ensure_ascii=True, default=str) + "\n"


def _report(report: Report) -> dict[str, Any]:
    return {
        "target": report.target,
        "verdict": word(report),
        "revision": report.revision,
        "head": report.head,
        "run": report.run,
        "changed": report.changed,
        "exit_code": report.exit_code,
        "findings": [_finding(finding) for finding in report.findings],
        "facts": {name: value for group in report.facts for name, value in data(group).items()},
        "steps": data(report.steps),
        "next": asdict(report.next),
        "server_version": report.server_version,
        "parameters": report.parameters,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {key: value for key, value in asdict(finding).items() if key != "exit_code"}


def ndjson(command: str, reports: list[Report]) -> str:
    """Return one finding a line, with its command and target. A clean report has no lines."""
    lines = []
    for report in reports:
        origin = {"command": command, "target": report.target, "revision": report.revision}
        lines += [json.dumps(origin | _finding(finding), default=str) for finding in report.findings]
    return "".join(f"{line}\n" for line in lines)
