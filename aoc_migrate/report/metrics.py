"""Metrics of a run for Prometheus: a file for the node exporter's textfile collector, and a push gateway.

All names begin with ``aoc_migrate_``, so none is one of the services' own (domain.md, Flags of the services).
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.exposition import basic_auth_handler, default_handler, push_to_gateway
from prometheus_client.parser import text_string_to_metric_families

from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.facts.raw_rows import AuditFacts
from aoc_migrate.report.formatting import plain
from aoc_migrate.report.model import FINDINGS, Report

PREFIX = "aoc_migrate_"
HELP = {
    "violations": "Rows or groups that break a rule of the contract, by finding and violation code.",
    "findings": "Findings of the last run, by severity and the exit code that each calls for.",
    "rows": "Rows of the raw table that the last run read.",
    "chain_documents": "Upstream documents by number of revisions.",
    "revision_info": "Always 1; the labels are the revision of the database and the head.",
    "at_head": "1 if the database is at head, 0 if not.",
    "exit_code": "Exit code of the last run.",
    "duration_seconds": "Duration of the last run.",
    "stall_seconds": "Longest time that other sessions may have waited for a step of the last run.",
    "paused_seconds": "Time that steps of the last run paused, by reason.",
    "last_run_timestamp_seconds": "Time when the last run ended.",
    "last_success_timestamp_seconds": "Time when the last run with exit code 0 ended.",
}
LAST_SUCCESS = "last_success_timestamp_seconds"
_JOB = "aoc-migrate"
_PUSH_TIMEOUT = 10  # seconds


class Sample(NamedTuple):
    """A value of one of the metrics in `HELP`, with its labels."""

    name: str
    labels: dict[str, str]
    value: float


def write(file: Path, command: str, reports: list[Report], now: float) -> None:
    """Replace the file with the metrics of a run that ended at ``now`` (seconds since 1970).

    Where a target failed or had no turn, the time of the command's last success there stays in the file.
    """
    before = list(_last_successes(file))
    found = [sample for report in reports for sample in samples(command, report, now)]
    succeeded = [sample.labels for sample in found if sample.name == LAST_SUCCESS]
    kept = [s for s in before if s.labels["command"] == command and s.labels not in succeeded]
    with TemporaryDirectory(dir=file.parent) as private:
        write_to_textfile(str(file), registry([*found, *kept]), tmpdir=private)
    file.chmod(0o644)  # the collector runs as another user


def push(gateway: str, command: str, report: Report, now: float) -> None:
    """Send the metrics of a target to a push gateway.

    A push replaces a group. So each target has its own, and the time of its last success another one, which a
    failed run does not push. A user and password in the URL are sent with HTTP basic authentication.
    """
    url = urlsplit(gateway)
    user, _, host = url.netloc.rpartition("@")
    name, _, password = user.partition(":")
    authenticated = partial(basic_auth_handler, username=unquote(name), password=unquote(password))
    found, run = list(samples(command, report, now)), _run(command, report)
    groups = {False: run, True: run | {"outcome": "success"}}
    for success, group in groups.items():
        part = [sample for sample in found if (sample.name == LAST_SUCCESS) == success]
        if part:
            push_to_gateway(
                url._replace(netloc=host).geturl(),
                job=_JOB,
                registry=registry(part),
                grouping_key=group,
                timeout=_PUSH_TIMEOUT,
                handler=authenticated if user else default_handler,
            )


def registry(found: list[Sample]) -> CollectorRegistry:
    """Return a registry with these samples and nothing else."""
    collectors = CollectorRegistry()
    for name, description in HELP.items():
        of_name = [sample for sample in found if sample.name == name]
        if of_name:
            gauge = Gauge(PREFIX + name, description, list(of_name[0].labels), registry=collectors)
            for sample in of_name:
                gauge.labels(**sample.labels).set(sample.value)
    return collectors


def samples(command: str, report: Report, now: float) -> Iterator[Sample]:
    """Yield the samples of a run that ended at ``now``."""
    run = _run(command, report)  # labels of every sample, because two files must not have the same sample

    def sample(name: str, value: float, **labels: Any) -> Sample:
        return Sample(name, run | {label: plain(str(text)) for label, text in labels.items()}, value)

    for finding in report.findings:
        if finding.count is not None:
            labels = {"finding": finding.slug, "code": finding.code or "", "subject": finding.subject}
            yield sample("violations", finding.count, **labels)
    errors = {FINDINGS: 0, **Counter(f.exit_code for f in report.errors)}
    for exit_code, count in errors.items():
        yield sample("findings", count, severity="error", exit_code=exit_code)
    warnings = len(report.findings) - len(report.errors)
    yield sample("findings", warnings, severity="warning", exit_code=0)
    audited, chains = report.get(AuditFacts), report.get(ChainFacts)
    rows = chains.rows if chains else audited.rows if audited else None
    if rows is not None:
        yield sample("rows", rows)
    for depth, documents in chains.chain_depths.items() if chains else ():
        yield sample("chain_documents", documents, revisions=depth)
    if report.reached:
        yield sample("revision_info", 1, revision=report.revision or "base", head=report.head)
        yield sample("at_head", int(report.revision == report.head))
    yield sample("exit_code", report.exit_code)
    yield sample("duration_seconds", round(report.seconds or 0, 3))
    stalls = [(step.waited_ms or 0) + (step.held_ms or 0) for step in report.steps]
    yield sample("stall_seconds", round(max(stalls, default=0) / 1000, 4))
    paused = Counter[str]()
    for step in report.steps:
        paused.update(step.pauses or {})
    for reason, milliseconds in paused.items():
        yield sample("paused_seconds", round(milliseconds / 1000, 3), reason=reason)
    yield sample("last_run_timestamp_seconds", round(now, 3))
    if not report.exit_code:
        yield sample(LAST_SUCCESS, round(now, 3))


def _run(command: str, report: Report) -> dict[str, str]:
    return {"target": plain(report.target), "command": command}


def _last_successes(file: Path) -> Iterator[Sample]:
    """Yield the times of last success in a file, or nothing if it is not a file of metrics."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return
    for family in families:
        if family.name == PREFIX + LAST_SUCCESS:
            yield from (Sample(LAST_SUCCESS, dict(found.labels), found.value) for found in family.samples)
