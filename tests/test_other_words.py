"""Words from Alembic and other tools: each is refused with what to type instead."""

import pytest

from tests.conftest import Aoc

WORDS = [
    (["status", ""], "An argument is empty"),
    (["upgrade", "concelier", " "], "An argument is empty"),
    (["status", "postgresql://a:password@h/x"], "A URL is not an argument"),
    (["downgrade", "concelier", "-head"], "No such option '-head'"),
    (["plan", "concelier", "-1:head", "--sql"], "No such option '-1:head'"),
    (["plan", "concelier", ":head", "--sql"], "names only one end"),
    (["downgrade", "concelier", "-1", "--all"], "Name one target or add --all, not both"),
    (["constraints", "concelier", "--remove", "--all"], "Name one target or add --all, not both"),
    (["constraints", "concelier", "--all"], "Name one target or add --all, not both"),
    (["status", "\udcff"], "An argument is not valid UTF-8"),
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
def test_a_refused_word_is_answered(words: list[str], answer: str, aoc: Aoc) -> None:
    """Exit code 2, nothing on stdout, and one sentence that names the command to run."""
    ran = aoc(*words)

    assert (ran.exit_code, ran.out) == (2, "")
    assert answer in ran.err
    assert "password" not in ran.err
