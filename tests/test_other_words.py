"""Words from Alembic and other tools: each is refused with what to type instead."""

import pytest

from tests.conftest import Aoc

WORDS = [
    (["current"], "Run: aoc-migrate status"),
    (["heads"], "Run: aoc-migrate status"),
    (["show", "head"], "Run: aoc-migrate history"),
    (["check"], "Run: aoc-migrate verify"),
    (["stamp", "head"], "The version follows the catalog. Run: aoc-migrate status"),
    (["upgrade", "concelier", "--dry-run"], "without changing anything: aoc-migrate plan"),
    (["upgrade", "concelier", "--sql"], "aoc-migrate plan TARGET --sql"),
]


@pytest.mark.parametrize(
    ("words", "answer"), WORDS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_word_of_another_tool_is_answered(words: list[str], answer: str, aoc: Aoc) -> None:
    """Exit code 2, nothing on stdout, and one sentence that names the command to run."""
    ran = aoc(*words)

    assert (ran.exit_code, ran.out) == (2, "")
    assert answer in ran.err
