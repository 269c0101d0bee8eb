"""Which tests mention the words of a piece of code: the rarer the words, the more it is about them."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

from scripts.proofs.record import ROOT

WORD = re.compile(r"[A-Za-z_][A-Za-z_-]{4,}")


def mentioning(text: str, tests: Iterable[str]) -> list[str]:
    """Return the tests that share a word with a piece of code; of one with parameters, the first case."""
    words, spoken, rarity = _words(text), _spoken(), _rarity()
    first = {test.partition("[")[0]: test for test in reversed([*tests])}
    scores = {first[name]: sum(1 / rarity[word] for word in words & spoken[name]) for name in first}
    return sorted((test for test in scores if scores[test]), key=scores.__getitem__, reverse=True)


def _words(text: str) -> set[str]:
    """Return the words of a text; a finding and a function that are called alike are one word."""
    return {word.replace("_", "-") for word in WORD.findall(text)}


@cache
def _spoken() -> Mapping[str, set[str]]:
    """Return the words of each test without its parameters, those of its decorators too."""
    found = defaultdict[str, set[str]](set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                lines = text.splitlines()[first - 1 : node.end_lineno]
                found[f"{path.relative_to(ROOT)}::{node.name}"] = _words("\n".join(lines))
    return found


@cache
def _rarity() -> Counter[str]:
    """Return how many tests have a word."""
    return Counter(word for words in _spoken().values() for word in words)
