"""The performance page says what was measured, and no more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks.meanings import MEANING, WHY, meaning
from scripts.benchmarks.page import page, table
from scripts.benchmarks.parts import Parts
from scripts.benchmarks.results import Ratio
from scripts.benchmarks.sizes import IOPS, RATE, SORTED, room, work
from scripts.benchmarks.sizes import PAGE as BLOCK
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "performance"


def test_the_page_is_generated_from_its_figures() -> None:
    """docs/performance.md is what the bench makes of docs/performance.json."""
    results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))

    assert page(results) == PAGE.with_suffix(".md").read_text(encoding="utf-8")


def test_every_row_explains_itself() -> None:
    """Each row that was measured has a sentence on the page that says what it means."""
    results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    measured = [ratio["what"] for ratio in results["ratios"]]

    assert [what for what in measured if meaning(what) is None] == []
    assert all(MEANING[name] in unwrapped(page(results)) for what in measured if (name := meaning(what)))


def test_each_meaning_is_that_of_a_row() -> None:
    """What is explained, or why a bound is missed, is the name of a row, or its beginning, in the bench."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts/benchmarks").glob("*.py"))
    code = sources.replace((ROOT / "scripts/benchmarks/meanings.py").read_text(encoding="utf-8"), "")

    assert [name for name in (*MEANING, *WHY) if f'"{name}' not in code] == []


SIZES = {"table": 800, "TOAST": 1600, "primary key": 100, "idempotency index": 0, "chain index": 0, "journal": 0}
GROWN = {"table": 900, "idempotency index": 200, "chain index": 150, "journal": 50}
LARGEST = {
    "rows": 1000,
    "links": 600,
    "reads": {"audit": 2.0, "upgrade": 11.0, "verify": 1.0},
    "before": {name: 1000 * size for name, size in SIZES.items()},
    "after": {name: 1000 * size for name, size in (SIZES | GROWN).items()},
    "wal": {"idempotency index": 200_000, "chain index": 150_000, "backfill": 1_200_000, "upgrade": 1_600_000},
}
"""A table of 1,000 rows as the bench measures it; sizes are bytes."""


def test_bytes_become_hours() -> None:
    """Beyond memory, a step takes what its bytes and its pages take at the stated rates, or what was measured."""
    steps = {each.step: each for each in work(LARGEST)}
    billion = 10**9

    assert steps["audit"].seconds(billion, 0) == pytest.approx((2 * 800 + 1600) * billion / RATE)
    assert steps["proof of 0003"].seconds(billion, 0) == pytest.approx(800 * billion / RATE)
    assert steps["chain index"].seconds(billion, 0) == pytest.approx((2 * 800 + 150 + 150) * billion / RATE)
    moved, written = 3 * 800 + 900 + 0.6 * SORTED, 50 + 2 * 800
    random = 2 * 800 / BLOCK * billion / IOPS
    assert steps["backfill"].seconds(billion, 0) == pytest.approx((moved + written) * billion / RATE + random)
    assert steps["verify"].seconds(billion, 1e-3) == pytest.approx(1e-3 * billion)
    assert dict(room(LARGEST))["WAL, with two images of each page"] == pytest.approx(400 + 2 * 800)


def test_the_page_has_what_later_benches_measured() -> None:
    """The page extrapolates from bytes, and shows what a long reader costs, once both were measured."""
    results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    results["growth"][-1] |= {name: found for name, found in LARGEST.items() if name != "rows"}
    results["stalls"] += [results["stalls"][1] | {"name": "`upgrade`, a reader", "tries": 12, "hot": 55.0}]

    written = page(results)

    assert "**Extrapolated, not measured.**" in written
    assert "the server read the table whole: `audit` 2.0, `upgrade` 11.0 and `verify` 1.0 times." in written
    assert "| 100,000,000 rows | 1,000,000,000 rows |" in written
    assert "| backfill | stages and sorts the links;" in written
    assert "ms | 12 | 55 % |" in written


def unwrapped(text: str) -> str:
    """Return a text with single spaces in place of line breaks."""
    return " ".join(text.split())


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


def test_an_interrupted_run_goes_on_after_its_whole_parts(tmp_path: Path) -> None:
    """A part that was whole is not measured again, one that broke is; another run's parts are not taken."""
    file, asked = tmp_path / "build" / "bench.json", {"rows": 1, "commit": "a"}
    measured: list[str] = []

    def measure(name: str, breaks: bool = False) -> Iterator[dict[str, Any]]:
        measured.append(name)
        yield {"name": name}
        if breaks:
            raise OSError

    first = Parts(file, asked)
    first.take("whole", lambda: measure("whole"))
    with pytest.raises(OSError):
        first.take("broken", lambda: measure("broken", breaks=True))
    second = Parts(file, asked, resume=True)

    assert second.take("whole", lambda: measure("again")) == [{"name": "whole"}]
    assert second.take("broken", lambda: measure("broken")) == [{"name": "broken"}]
    assert measured == ["whole", "broken", "broken"]
    for other in (Parts(file, asked | {"commit": "b"}, resume=True), Parts(file, asked)):
        assert other.whole == {}
    second.forget()
    assert not file.exists()
