"""What no test runs or notices has a reason, and is still in the code; mutants change what they say."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.proofs import ledger
from scripts.proofs.excuses import SURVIVORS, UNCOVERED, Excuse, excused, read
from scripts.proofs.mutants import mutants
from tests.conftest import ROOT


def test_what_is_not_covered_exists_and_has_a_reason() -> None:
    """Each place in uncovered.toml is still in the code, and its reason is a sentence."""
    entries = read(UNCOVERED)

    assert [entry for entry in entries if not entry.reason.strip().endswith(".")] == []
    assert [str(entry) for entry in entries if not excused(entry)] == []


def test_survivors_exist_and_have_a_reason() -> None:
    """Each entry of survivors.toml is a mutant of today's code, and its reason is a sentence."""
    entries, known = read(SURVIVORS), set[Excuse]()
    for file in {entry.file for entry in entries}:
        found = mutants(file, (ROOT / file).read_text(encoding="utf-8"))
        known |= {Excuse(file, "", m.inside, m.was, m.becomes) for m in found}

    assert [entry for entry in entries if not entry.reason.strip().endswith(".")] == []
    assert [str(entry) for entry in entries if replace(entry, reason="") not in known] == []


SOURCE = '''
P = ParamSpec("P")
if TYPE_CHECKING:
    import typing

class Kind(Enum):
    ADD = ("ADD", "NOT VALID: words")

def ready(state, when=1):
    """Return whether a docstring is left alone, and NOT changed."""
    if state.lock(f"a < {when}", "SELECT 1 WHERE a < 2 AND NOT b") and when <= 3:
        state.wait("the words of a person")
        return ["first", "second"]
    try:
        zip(state, state, strict=True)
        state.close()
    except OSError:
        pass
    return when
'''
CHANGED = {
    ("when=1", "when=2"),
    ("and when <= 3", "or when <= 3"),
    ("when <= 3", "when < 3"),
    ("<= 3", "<= 4"),
    ("if state", "if not (state"),
    ("a < 2", "a <= 2"),
    (" AND ", " OR "),
    ("NOT b", "b"),
    ("state.wait('the words of a person')", "pass"),
    ("'first', ", ""),
    ("return when", "return None"),
    ("pass", "raise"),
}


def test_mutants_change_one_thing_each() -> None:
    """Conditions, numbers, calls, values and SQL are changed one at a time; sentences and types are not."""
    found = list(mutants("x.py", SOURCE))
    changes = [(m.was, m.becomes) for m in found]

    missing = [
        pair for pair in CHANGED if not any(pair[0] in was and pair[1] in becomes for was, becomes in changes)
    ]
    assert missing == []
    assert len({m.source for m in found}) == len(found) == len({m.key for m in found})
    assert all(ast.parse(m.source) and "docstring is left alone, and NOT changed" in m.source for m in found)
    assert {m.inside for m in found} == {"ready"}
    assert not any("words of a personX" in m.source or "strict=False" in m.source for m in found)


def test_layout_and_comments_alter_no_mutant() -> None:
    """A module with other line breaks and comments has the same mutants, so results and excuses stay valid."""
    other = "# a comment\n" + SOURCE.replace(
        '["first", "second"]', '[\n            "first",\n            "second",\n        ]'
    )

    assert [m.key for m in mutants("x.py", other)] == [m.key for m in mutants("x.py", SOURCE)]


def test_only_what_has_changed_since_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger holds a mutant until its lines change; one that is not there any more is forgotten."""
    before = list(mutants("folder/x.py", SOURCE))
    after = list(mutants("folder/x.py", SOURCE.replace("when <= 3", "when <= 4")))
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "mutated.json")
    ledger.write(before, before[:-1])

    new = [mutant for mutant in after if not ledger.holds(ledger.known(), mutant)]
    assert {before[-1].key} < {mutant.key for mutant in new}
    assert all("<= 4" in f"{mutant.was} {mutant.becomes}" for mutant in new if mutant.key != before[-1].key)
    assert ledger.figures({"folder/x.py": after}, {"part": ("folder/",)}) == {
        "part_mutants": len(after),
        "part_tried": len(after) - len(new),
        "elsewhere_mutants": 0,
        "elsewhere_tried": 0,
    }

    ledger.write(after, [])
    assert len(ledger.known()["folder/x.py"]) == len(after) - len(new)
