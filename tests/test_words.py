"""The words of the project: plain English, one word for one thing. What is retired here does not come back."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

RETIRED = {
    r"tell|tells|telling|told": "say, show, report",
    r"mend|mends|mended|mending": "repair",
    r"look(s|ed|ing)? at": "read, check, inspect",
    r"stands|standing|stood": "holds, exists, is there",
    r"beside": "with, next to, in addition",
    r"(for )?so (many|long)": "N seconds, that long",
    r"(is|are|was|were) not to be had": "is not available",
    r"in vain": "without success",
    r"anew": "again",
    r"oftener|mighty": "more often, too privileged",
    r"hold(s|ing)? still": "wait, pause",
    r"others had a turn": "let others go first",
    r"nobody was before us": "no session blocked us",
    r"to look closer": "for details",
}
"""Retired words and what to write instead."""
WORDS = [
    (re.compile(rf"(?<![A-Za-z])({pattern})(?![A-Za-z])", re.IGNORECASE), use) for pattern, use in RETIRED.items()
]
TEXTS = sorted(
    path
    for pattern in (
        "*.md",
        "aoc_migrate/**/*",
        "migrations/**/*",
        "docs/*",
        "deploy/**/*",
        "scripts/**/*",
        "tests/**/*.py",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix not in (".pyc", ".png") and path.name != Path(__file__).name
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_word_is_used(path: Path) -> None:
    """No text, name or comment uses a word that the vocabulary retires."""
    lines = path.read_text(encoding="utf-8").splitlines()

    found = [
        f"{n}: {m[0]!r}, write {use}"
        for n, line in enumerate(lines, 1)
        for w, use in WORDS
        if (m := w.search(line))
    ]

    assert found == []
