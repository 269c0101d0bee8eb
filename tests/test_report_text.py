"""Reports as text: how people read facts, tables that fit, and commands on one line."""

import json

from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.facts.planning import PlanFacts, PlannedStep
from aoc_migrate.report.facts.runs import HistoryFacts, LatestRun, Run, VerifyFacts
from aoc_migrate.report.facts.target_state import CatalogFacts, StatusFacts
from aoc_migrate.report.forms import render
from aoc_migrate.report.model import Finding, Next, Report
from aoc_migrate.report.verdict import termination_message

OTHERS = (
    *("command", "from_revision", "goal", "revision", "outcome", "step", "started_at"),
    *("role", "host", "image", "version", "server_version"),
)


def run_of(words: str) -> Run:
    """Return a run of the ledger with these words in every place that others may write."""
    return Run(run=1, findings=[words], seconds=1.5, **dict.fromkeys(OTHERS, words))


def latest(number: int, host: str) -> LatestRun:
    """Return a run in a few words."""
    return LatestRun(number, "upgrade", "done", None, "2026-11-28", 2.0, "stella", host)


def test_facts_are_formatted_for_people() -> None:
    """Table and Markdown put thousands apart and units behind the number, and rows into tables."""
    facts = (
        PlanFacts("upgrade", "base", "head", 100.0, 12345, (), table_bytes=2048, estimated_seconds=86400.5),
        ChainFacts(7, 5, {"1": 1200, "3 to 4": 1}, (), ()),
        StatusFacts(2, (), "done", 0, "free", {}, ()),
        CatalogFacts(
            {"a": "proven", "b": "missing", "c": "proven", "d": "changed"}, {"a": "valid", "b": "missing"}
        ),
    )
    reports = [Report("concelier", facts=facts)]

    table, markdown = (render(form, "verify", reports, 0) for form in ("table", "markdown"))

    for line in (
        "  longest stall: 100 ms",
        "  rows estimated: 12,345",
        "  table: 2 kB",
        "  estimated: 86,400.5 s",
        "  pending: none",
        "  building: none",
        "  running: none",
        "  rules: 2 of 4 proven; b missing, d changed",
        "  indexes:\n    a: valid\n    b: missing",
        "  chain depths:\n    revisions  documents\n    1              1,200\n    3 to 4             1",
    ):
        assert f"\n{line}\n" in table
    for line in (
        "| estimated | 86,400.5 s |",
        "| revisions | documents |",
        "| 1 | 1,200 |",
        "| rules | 2 of 4 proven; b missing, d changed |",
        "| indexes | a: valid; b: missing |",
    ):
        assert f"\n{line}\n" in markdown


def test_a_fact_that_does_not_apply_is_left_out() -> None:
    """A fact without a default is in the JSON whatever it is; one that does not apply is left out."""
    steps = (PlannedStep("r", "s", "none", "nothing", "nothing", None, None),)
    report = Report("concelier", facts=(PlanFacts("upgrade", "base", "head", 1.0, 0, steps), VerifyFacts(())))

    (printed,) = json.loads(render("json", "plan", [report], 0))["reports"]

    assert set(printed["facts"]) == {
        *("direction", "from_revision", "to_revision", "longest_stall_ms", "rows_estimated", "plan", "latest_runs")
    }
    assert (printed["facts"]["plan"][0]["size_bytes"], printed["facts"]["plan"][0]["estimated_ms"]) == (None, None)


def test_a_table_that_is_too_wide_shows_each_row_alone() -> None:
    """Text is 100 columns wide: a table that does not fit shows each row by itself, without what is empty."""
    narrow = Report("concelier", facts=(VerifyFacts((latest(1, "a pod"), latest(2, "[bold]x[/bold]"))),))
    wide = Report("concelier", facts=(HistoryFacts((run_of("w" * 60),)),))

    short, long = (render("table", "history", [report], 0).splitlines() for report in (narrow, wide))

    assert short[2].split() == ["run", "command", "outcome", "started", "at", "seconds", "role", "host"]
    assert short[4].endswith("stella  [bold]x[/bold]")
    assert [line.split() for line in long[2:5]] == [
        ["run", "1"],
        ["command", "w" * 60],
        ["from", "revision", "w" * 60],
    ]
    assert max(map(len, short + long)) <= 100


def test_a_command_to_paste_is_one_line() -> None:
    """However long a command is, it is on one line, in what to do next and in the help of a finding."""
    command = "aoc-migrate upgrade concelier " + " ".join(f"--accept 'foreign-code:trigger_{n}'" for n in range(9))
    found = Finding("foreign-code", "advisory_raw", "It is so. " * 30, f"Run: {command}")

    written = render("table", "upgrade", [Report("concelier", findings=[found], next=Next(command))], 1)

    assert f"    -> Run: {command}\n" in written
    assert f"  next: {command}\n" in written
    assert max(len(line) for line in written.splitlines() if "It is so" in line) <= 100


def test_termination_messages_fit() -> None:
    """The last words name each target that failed, with what to type, and never pass Kubernetes' 4096 bytes."""
    errors = [Finding(f"slug-{n}", "tablé", "problem", "help") for n in range(200)]
    reports = [Report("concelier"), Report("excititor", findings=errors[:1]), Report("concelier", findings=errors)]

    short, long = termination_message("verify", reports[:2]), termination_message("verify", reports)

    assert short.splitlines() == [
        "verify excititor: NOT OK: 1 error, 0 warnings; nothing changed; exit code 1",
        "slug-0 tablé: problem",
        "-> help",
    ]
    assert 4090 < len(long.encode()) <= 4096
    assert long.endswith("…")
