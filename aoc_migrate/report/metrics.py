"""Metrics of a run in Prometheus' text format, for the textfile collector of the node exporter.

All names begin with ``aoc_migrate_``, so that none is one of the services' own (domain.md, Flags of the services).
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from aoc_migrate.report.formatting import plain
from aoc_migrate.report.model import Report

PREFIX = "aoc_migrate_"
HELP = {
    "violations": "Rows or groups that break a rule of the contract, by finding and violation code.",
    "findings": "Findings of the last run, by severity.",
    "rows": "Rows of the raw table that the last run looked at.",
    "chain_documents": "Upstream documents by number of revisions.",
    "revision_info": "1, with the revision that the database is at and the head as labels.",
    "at_head": "Whether the database is at head.",
    "exit_code": "Exit code of the last run.",
    "duration_seconds": "How long the last run took.",
    "stall_seconds": "The longest that other sessions may have waited for a step of the last run.",
    "paused_seconds": "How long steps of the last run paused, by reason.",
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_success_timestamp_seconds": "When the last run that ended with exit code 0 ended.",
}
_LAST_SUCCESS = "last_success_timestamp_seconds"


def metrics(command: str, reports: list[Report], now: float, before: str = "") -> str:
    """Return the metrics of a run that ended at ``now`` (seconds since 1970).

    ``before`` is what the file held: of it stays when the last success was, where this run is none.
    """
    return _text([sample for report in reports for sample in _samples(command, report, now, before)])


def groups(command: str, report: Report, now: float) -> Iterator[tuple[str, str]]:
    """Yield what a push gateway is to hold of a run: the path of each group, and its metrics.

    A push replaces a group. So each target has its own, and the time of the last success another one, which a
    run that failed leaves alone.
    """
    place = f"job/aoc-migrate/command/{command}/target/{report.target}"
    samples = list(_samples(command, report, now, ""))
    yield place, _text([sample for sample in samples if sample[0] != _LAST_SUCCESS])
    if not report.exit_code:
        yield f"{place}/outcome/success", _text([sample for sample in samples if sample[0] == _LAST_SUCCESS])


def _text(samples: list[tuple[str, str, Any]]) -> str:
    lines = []
    for name, words in HELP.items():
        values = [f"{PREFIX}{name}{labels} {value}" for key, labels, value in samples if key == name]
        if values:
            lines += [f"# HELP {PREFIX}{name} {words}", f"# TYPE {PREFIX}{name} gauge", *values]
    return "\n".join(lines) + "\n"


def _samples(command: str, report: Report, now: float, before: str) -> Iterator[tuple[str, str, Any]]:
    run = {"target": report.target, "command": command}  # on every sample: two files may not hold the same one
    for finding in report.findings:
        if finding.count is not None:
            about = {"finding": finding.slug, "code": finding.code or "", "subject": finding.subject}
            yield "violations", _labels(run | about), finding.count
    for severity in ("error", "warning"):
        count = sum(finding.severity == severity for finding in report.findings)
        yield "findings", _labels(run | {"severity": severity}), count
    if isinstance(report.facts.get("rows"), int):
        yield "rows", _labels(run), report.facts["rows"]
    for depth, documents in report.facts.get("chain_depths", {}).items():
        yield "chain_documents", _labels(run | {"revisions": depth}), documents
    if report.reached:
        at = {"revision": report.revision or "base", "head": report.head}
        yield "revision_info", _labels(run | at), 1
        yield "at_head", _labels(run), int(report.revision == report.head)
    yield "exit_code", _labels(run), report.exit_code
    yield "duration_seconds", _labels(run), round(report.seconds, 3)
    stalls = [step.get("waited_ms", 0) + step.get("held_ms", 0) for step in report.steps]
    yield "stall_seconds", _labels(run), round(max(stalls, default=0) / 1000, 4)
    paused = Counter[str]()
    for step in report.steps:
        paused.update(step.get("pauses", {}))
    for reason, milliseconds in paused.items():
        yield "paused_seconds", _labels(run | {"reason": reason}), round(milliseconds / 1000, 3)
    yield "last_run_timestamp_seconds", _labels(run), round(now, 3)
    success = round(now, 3) if not report.exit_code else _kept(before, _labels(run))
    if success is not None:
        yield _LAST_SUCCESS, _labels(run), success


def _kept(before: str, labels: str) -> str | None:
    found = re.search(rf"(?m)^{re.escape(PREFIX + _LAST_SUCCESS + labels)} ([0-9.e+]+)$", before)
    return found[1] if found else None


def _labels(values: dict[str, Any]) -> str:
    return "{" + ",".join(f'{name}="{_escape(str(value))}"' for name, value in values.items()) + "}"


def _escape(text: str) -> str:
    """Return a label's value in printable text, escaped as the format wants it."""
    return plain(text).replace("\\", "\\\\").replace('"', '\\"')
