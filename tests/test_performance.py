"""The performance page says what was measured, and no more."""

import json

from scripts.benchmarks.page import WHY, page, table
from scripts.benchmarks.results import Ratio
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "performance"


def test_the_page_is_generated_from_its_figures() -> None:
    """docs/performance.md is what the bench makes of docs/performance.json."""
    results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))

    assert page(results) == PAGE.with_suffix(".md").read_text(encoding="utf-8")
    assert set(WHY) <= {ratio["what"] for ratio in results["ratios"]}


def test_a_missed_bound_is_marked() -> None:
    """A ratio beyond its bound is marked in the table, on either side."""
    most = Ratio("a", "b", 3.0, 1.0, "s", 2.0)
    least = Ratio("a", "b", 1.0, 2.0, "rows/s", 0.8, least=True)

    assert (most.held, least.held) == (False, False)
    assert (Ratio("a", "b", 2.0, 1.0, "s", 2.0).held, Ratio("a", "b", 2.0, 1.0, "", 0.8, least=True).held) == (
        True,
        True,
    )


def test_a_figure_may_have_no_bound() -> None:
    """A ratio without a bound misses nothing, and the table shows it without a bound."""
    free = Ratio("a", "b", 3.0, 1.0, "ms", None)

    assert free.held
    assert table([free]).endswith("| a | 3 ms | 1 ms | b | 3.00 | \N{EN DASH} | timed |\n")


def test_the_readme_says_who_waits_as_it_was_measured() -> None:
    """The README's first screen has the longest waits that were measured, and the number of rows."""
    results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    longest = {row["name"]: row["longest_ms"] for row in results["stalls"]}
    ours, plain = longest["`upgrade`"], longest["the same changes as one plain transaction"]

    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"**Who waits: {ours:.0f} ms against {plain / 1000:.1f} s.**" in readme
    assert f"an upgrade of {results['about']['rows']:,} rows" in readme
