"""Reports for programs: JSON with the schema docs/report.schema.json, and NDJSON, one finding per line."""

import json
from dataclasses import asdict
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.report.fields import data
from aoc_migrate.report.formatting import utc_time
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.verdict import word

SCHEMA = 3
_VERSIONS = {"aoc_migrate": __version__}
_NOT_IN_LINES = {"findings", "facts", "steps", "parameters"}


def json_text(command: str, reports: list[Report], exit_code: int) -> str:
    """Return all reports of a command as one JSON document."""
    body = {
        "schema": SCHEMA,
        "command": command,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "versions": _VERSIONS,
        "reports": [report_data(report) for report in reports],
    }
    return json.dumps(body, indent=2, ensure_ascii=True, default=str) + "\n"


def report_data(report: Report) -> dict[str, Any]:
    """Return what the JSON says of one target."""
    return {
        **_bound(report),
        "revision": report.revision,
        "head": report.head,
        "run": report.run,
        "changed": report.changed,
        "exit_code": report.exit_code,
        "findings": [_finding(finding) for finding in report.findings],
        "facts": {name: value for group in report.facts for name, value in data(group).items()},
        "steps": data(report.steps),
        "next": asdict(report.next),
        "parameters": report.parameters,
    }


def _bound(report: Report) -> dict[str, Any]:
    """Return what binds a report to its database and its time."""
    place = report.place
    return {
        "target": report.target,
        "verdict": word(report),
        "server": {
            "host": place.host,
            "port": place.port,
            "version": place.server_version,
            "system_identifier": place.system_identifier,
        },
        "database": place.database,
        "schema": place.schema,
        "role": place.role,
        "ticket": report.ticket,
        "plan": report.plan,
        "started_at": utc_time(report.started_at),
        "ended_at": None if report.ended_at is None else utc_time(report.ended_at),
        "seconds": None if report.seconds is None else round(report.seconds, 3),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {key: value for key, value in asdict(finding).items() if key != "exit_code"}


def ndjson(command: str, reports: list[Report]) -> str:
    """Return a line for each report, and one for each of its findings."""
    lines: list[dict[str, Any]] = []
    for report in reports:
        origin = {"command": command, "target": report.target, "revision": report.revision}
        whole = {key: value for key, value in report_data(report).items() if key not in _NOT_IN_LINES}
        lines.append({"kind": "report", **origin, **whole, "versions": _VERSIONS})
        lines += [{"kind": "finding", **origin, **_finding(finding)} for finding in report.findings]
    return "".join(f"{json.dumps(line, default=str)}\n" for line in lines)
