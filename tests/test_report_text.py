"""Reports as text: how people read facts, tables that fit, and commands on one line."""

import json
from typing import Any

import pytest

from aoc_migrate import __version__
from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.facts.dashboard import StatusFacts
from aoc_migrate.report.facts.planning import PlanFacts, PlannedStep
from aoc_migrate.report.facts.runs import LatestRun, Run, VerifyFacts
from aoc_migrate.report.facts.target_state import CatalogFacts, WaitFacts
from aoc_migrate.report.formatting import duration, utc_time
from aoc_migrate.report.forms import render
from aoc_migrate.report.look import Look, Verbosity
from aoc_migrate.report.model import Finding, Next, Place, Report, Severity, finding
from aoc_migrate.report.verdict import termination_message

OTHERS = (
    *("command", "from_revision", "goal", "revision", "outcome", "step", "started_at"),
    *("ended_at", "role", "host", "image", "ticket", "plan", "version", "server_version"),
)


def run_of(words: str) -> Run:
    """Return a run of the ledger with these words in every place that others may write."""
    others: dict[str, Any] = {"findings": [words], **dict.fromkeys(OTHERS, words)}
    return Run(run=1, took_seconds=1.5, steps_done=1, rows_written=2, longest_stall_ms=3.5, **others)


def latest(number: int, host: str) -> LatestRun:
    """Return a run in a few words."""
    return LatestRun(number, "upgrade", "done", None, "2026-11-28", 2.0, "stella", host, None)


def drawn(report: Report, look: Look = Look(), command: str = "audit") -> list[str]:  # noqa: B008  (frozen)
    """Return the lines of a report as text."""
    return render("table", command, [report], report.exit_code, look).splitlines()


def test_facts_are_formatted_for_people() -> None:
    """Text and Markdown put thousands apart and units behind the number, and rows into tables."""
    facts = (
        PlanFacts(
            "upgrade",
            "base",
            "head",
            100.0,
            12345,
            (),
            with_documents_and_indexes_bytes=2048,
            time_estimated_seconds=86400.5,
        ),
        ChainFacts(7, 5, {"1": 1200, "3 to 4": 1}, (), ()),
        StatusFacts(2, (), "done", 0, "free", {}, ()),
        CatalogFacts(
            {"a": "proven", "b": "missing", "c": "proven", "d": "changed"}, {"a": "valid", "b": "missing"}
        ),
    )
    reports = [Report("concelier", facts=facts)]

    table, markdown = (render(form, "verify", reports, 0) for form in ("table", "markdown"))

    lines = [" ".join(line.split()) for line in table.splitlines()]
    for line in (
        "stalls at most 100 ms",
        "rows (estimate) 12,345",
        "with documents and indexes 2 kB",
        "time (estimate) 1 d",
        "pending none",
        "building index none",
        "running none",
        "rules 2 of 4 proven; b missing, d changed",
        "indexes a: valid, b: missing",
        "documents by revisions 1: 1,200; 3 to 4: 1",
    ):
        assert line in lines
    for line in (
        "| time (estimate) | 1 d |",
        "| revisions | documents |",
        "| 1 | 1,200 |",
        "| rules | 2 of 4 proven; b missing, d changed |",
        "| indexes | a: valid; b: missing |",
    ):
        assert f"\n{line}\n" in markdown
    assert "| a: valid; b: missing |\n\n**chain depths**\n" in markdown


def test_a_fact_that_does_not_apply_is_left_out() -> None:
    """A fact without a default is in the JSON whatever it is; one that does not apply is left out."""
    steps = (PlannedStep("r", "+", "s", "-", "-", None, None, (), ()),)
    report = Report("concelier", facts=(PlanFacts("upgrade", "base", "head", 1.0, 0, steps), VerifyFacts(())))

    (printed,) = json.loads(render("json", "plan", [report], 0))["reports"]

    assert set(printed["facts"]) == {
        *("direction", "from_revision", "to_revision", "stall_at_most_ms", "rows_estimated", "plan", "latest_runs")
    }
    assert (printed["facts"]["plan"][0]["size_bytes"], printed["facts"]["plan"][0]["estimated_ms"]) == (None, None)


def test_a_table_that_is_too_wide_shows_each_row_alone() -> None:
    """A table that cannot fit shows each row by itself; a value of markup is text."""
    report = Report("concelier", facts=(VerifyFacts((latest(1, "a pod"), latest(2, "[bold]x[/bold]"))),))

    wide = drawn(report, Look(width=120, verbosity=Verbosity.VERBOSE))
    narrow = drawn(report, Look(width=40, verbosity=Verbosity.VERBOSE))

    assert wide[4].split() == ["run", "command", "outcome", "started", "at", "took", "role", "host"]
    assert wide[6].endswith("stella  [bold]x[/bold]")
    assert [line.split() for line in narrow[5:7]] == [["run", "1"], ["command", "upgrade"]]
    assert max(map(len, narrow)) <= 40


def test_the_verdict_comes_first_then_what_to_do() -> None:
    """The first line is the verdict, the next lines say what to type; then the findings, then the facts."""
    found = Finding("blank-key", "advisory_raw.tenant", "It is blank.", "Fill it in.")
    report = Report("concelier", "head", findings=[found], next=Next("aoc-migrate audit", note="Hurry."))
    report.place, report.ticket = Place("db", 5432, "concelier", "aoc", "stella", "18.6", "74573"), "CHG-1234"
    report.put(WaitFacts(1.0))
    report.end()
    times = f"{utc_time(report.started_at)} to {utc_time(report.ended_at or report.started_at)}"
    took = duration(report.seconds or 0)

    assert drawn(report) == [
        "FINDINGS audit concelier: 1 error; nothing changed; revision unknown (head head)",
        "  note: Hurry.",
        "  next:",
        "    aoc-migrate audit",
        "  at: db:5432, database concelier, schema aoc, role stella, PostgreSQL 18.6, system identifier 74573",
        f"  by: aoc-migrate {__version__}, {times} ({took}), ticket CHG-1234",
        "",
        "  ERROR blank-key advisory_raw.tenant",
        "    It is blank.",
        "    -> Fill it in.",
        "",
        "  to explain a finding:",
        "    aoc-migrate explain blank-key",
        "",
        "  waited  1 s",
    ]


@pytest.mark.parametrize(
    ("slug", "severity", "exit_code", "failed", "word"),
    [
        ("blank-key", "error", 1, False, "FINDINGS"),
        ("blank-key", "error", 1, True, "FAILED"),
        ("deadline", "error", 3, False, "FAILED"),
        ("held", "info", 1, False, "HELD"),
        ("rollback-unfinished", "warning", 1, False, "HELD"),
        ("blank-key", "warning", 1, False, "PASSED"),
        ("not-at-head", "warning", 1, False, "PASSED up to r4"),
    ],
)
@pytest.mark.parametrize("verbosity", Verbosity)
def test_the_verdict_is_one_of_four_words(
    slug: str, severity: Severity, exit_code: int, failed: bool, word: str, verbosity: Verbosity
) -> None:
    """PASSED, FINDINGS, HELD or FAILED, whatever else is shown; --quiet shows only that line."""
    found = Finding(slug, "s", "p", "h", severity, exit_code=exit_code)
    report = Report("concelier", "head", "r4", findings=[found], failed=failed, reached=True)

    lines = drawn(report, Look(verbosity=verbosity))
    first, _, limit = word.partition(" ")
    assert lines[0].startswith(f"{first} audit concelier {limit}".strip() + ": ")
    assert (len(lines) == 1) == (verbosity == Verbosity.QUIET)


def test_like_findings_are_grouped() -> None:
    """Findings that differ only in their subjects are one, with their number; --verbose shows each."""
    problems = [finding("missing-constraint", f"t.c{n}", target="concelier") for n in range(14)]
    report = Report("concelier", findings=problems)

    short, long = drawn(report), drawn(report, Look(verbosity=Verbosity.VERBOSE))

    assert "  ERROR missing-constraint (14)" in short
    assert "    14 constraints are missing: new rows can break them." in short
    assert "t.c0, t.c1, " in " ".join(short)
    assert len(short) < 14
    assert sum("ERROR missing-constraint" in line for line in long) == 14


def test_termination_messages_fit() -> None:
    """The last words name each target that failed, with what to type, and never pass Kubernetes' 4096 bytes."""
    errors = [Finding(f"slug-{n}", "tablé", "problem", "help") for n in range(200)]
    reports = [Report("concelier"), Report("excititor", findings=errors[:1]), Report("concelier", findings=errors)]

    short, long = termination_message("verify", reports[:2]), termination_message("verify", reports)

    assert short.splitlines() == [
        "FINDINGS verify excititor: 1 error; nothing changed; exit code 1",
        "slug-0 tablé: problem",
        "-> help",
    ]
    assert 4090 < len(long.encode()) <= 4096
    assert long.endswith("…")
