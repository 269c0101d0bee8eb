"""docs/reliability.md names tests that exist, and shows whatever figures the proofs have recorded."""

import json
import re
from pathlib import Path

from scripts.pages.reliability import PROOFS, figures
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def promises() -> list[str]:
    """Return the second cell of each row of the promises."""
    section = PAGE.partition("## What is promised")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\| \*\*.+ \| (.+) \|$", section)


def test_each_promise_names_files_and_proofs_that_exist() -> None:
    """Each promise has a test or a proof; every file that the page names exists, and every proof is known."""
    for cell in promises():
        files = re.findall(r"`(tests/.+?)`", cell)
        proofs = re.findall(r"\b[a-z]+\b", re.sub(r"`.+?`|\[.+?\)", "", cell))
        assert files or proofs, cell
        assert set(proofs) <= set(PROOFS), cell
    assert len(promises()) > 10
    named = re.findall(r"`((?:tests|scripts)/[\w/.]+)", PAGE)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_proof_without_figures_has_not_run(tmp_path: Path) -> None:
    """Without figures, the table says of each proof that it has not run yet; the bench has its own page."""
    rows = list(figures(tmp_path))[2:-1]

    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(PROOFS)
    assert all(row.endswith(" | not run yet |  |") for row in rows if "bench" not in row)


def test_figures_become_words_with_their_units(tmp_path: Path) -> None:
    """Names become words, their ends units, numbers get separators; a proof that nobody foresaw has a row too."""
    recorded = {
        "longest_stall_ms": 98.25,
        "rows": 1234567,
        "killed_percent": 99.0,
        "postgresql": {"15.14": 2500, "18.6": 2501},
        "versions": ["3.11", "3.14"],
        "unexplained": [],
        "note": "a|b",
    }
    run = {"date": "2026-01-31", "commit": "abc1234+", "python": "3.11.7", "postgresql": None, "figures": recorded}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "reliability.json").write_text(json.dumps({"zeal": run}), encoding="utf-8")

    row = list(figures(tmp_path))[-2]

    assert row == (
        "| zeal |  | 2026-01-31, commit abc1234+, Python 3.11.7 | longest stall: 98.2 ms; rows: 1,234,567; "
        "killed: 99 %; PostgreSQL: (15.14: 2,500, 18.6: 2,501); versions: 3.11, 3.14; unexplained: none; "
        "note: a&#124;b |"
    )
