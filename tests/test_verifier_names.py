"""AOC_VERIFIER_USER: which names a verifier may have."""

import pytest

from tests.conftest import Aoc, Database
from tests.test_bad_input import nothing_of_ours


@pytest.mark.parametrize("name", ["pg_reader", "public", "none", "ä" * 32, "two\nlines", "\x1b[31m"])
def test_a_name_that_no_role_can_have_is_refused(name: str, excititor: Database, aoc: Aoc) -> None:
    """A name that PostgreSQL reserves, would cut off, or could not print ends every command before it connects."""
    aoc.configure(excititor)

    for words in (("audit",), ("verifier", "check"), ("verifier", "create"), ("verifier", "drop"), ("upgrade",)):
        ran = aoc(*words, AOC_VERIFIER_USER=name)

        assert (ran.exit_code, ran.out) == (2, ""), words
        assert "AOC_VERIFIER_USER cannot be the name of a role" in ran.err
    assert nothing_of_ours(excititor)


@pytest.mark.parametrize("name", ["Public", 'it\'s a "verifier"', "ä" * 31])
def test_any_other_name_is_taken_as_it_is(name: str, excititor: Database, aoc: Aoc) -> None:
    """A name of up to 63 bytes, with quotes, spaces or capitals, becomes the role's name unchanged."""
    aoc.configure(excititor)

    assert aoc("verifier", "create", AOC_VERIFIER_USER=name).exit_code == 0

    assert excititor.value("SELECT true FROM pg_roles WHERE rolname = %s", [name])
    assert aoc("verifier", "drop", AOC_VERIFIER_USER=name).exit_code == 0
