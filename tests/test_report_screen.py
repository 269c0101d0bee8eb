"""Reports as text on screens of any height: short samples, and at the end what to do."""

import pytest

from aoc_migrate.report.forms import render
from aoc_migrate.report.look import Look
from aoc_migrate.report.model import Finding, Next, Report, finding
from tests.test_report_text import drawn


@pytest.mark.parametrize("height", [24, 40])
def test_samples_give_way_to_the_screen(height: int) -> None:
    """A sample has five rows at most, and fewer where that makes the report fit; the rest is in the JSON."""
    sample = [{"id": f"advisory_raw:{'x' * 90}:{n:07}:sha256-{n:012}"} for n in range(101)]
    found = [Finding("blank-key", f"t.c{n}", "It is blank.", f"Fill in c{n}.", sample=sample) for n in range(4)]

    lines = drawn(Report("concelier", findings=found), Look(80, height))

    rows = [line for line in lines if line.strip().startswith("advisory_raw:")]
    assert len(lines) <= height - 2
    assert len({*rows}) == len(rows) // 4 == {24: 0, 40: 3}[height]
    assert f"       {101 - len(rows) // 4} {'more' if rows else 'rows not shown'}: --format json" in lines
    assert max(map(len, lines)) <= 80


def test_reports_longer_than_the_screen_end_with_what_to_do() -> None:
    """Where the first report has left the screen, the verdicts and what to type come once more, at the end."""
    found = [finding("missing-index", f"t_{n}", target="concelier") for n in range(9)]
    reports = [Report(target, findings=found, next=Next(f"aoc-migrate audit {target}")) for target in "ab"]

    short, long = (render("table", "audit", reports, 1, Look(80, lines)).splitlines() for lines in (24, 999))

    assert short[: len(long)] == long
    again = [line.strip() for line in short[len(long) :]]
    assert [line for line in again if "audit" in line] == [
        line
        for target in "ab"
        for line in (f"FINDINGS audit {target}: 9 errors; nothing changed", f"aoc-migrate audit {target}")
    ]
