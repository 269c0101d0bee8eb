"""Which mutants are done, each killed by a test or explained: mutated.json. Only others need to be tried.

A mutant has another key as soon as the lines that it changes are other ones.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.proofs.mutants import Mutant

LEDGER = Path(__file__).parent / "mutated.json"
_LENGTH = 8  # characters of a key; those of one file are few


def known() -> dict[str, set[str]]:
    """Return the keys of the mutants that are done, by their files."""
    entries: dict[str, str] = json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}
    return {file: set(keys.split()) for file, keys in entries.items()}


def holds(entries: Mapping[str, set[str]], mutant: Mutant) -> bool:
    """Return whether a mutant is done."""
    return mutant.key[:_LENGTH] in entries.get(mutant.file, ())


def write(there: Iterable[Mutant], done: Iterable[Mutant]) -> None:
    """Add those that are done; forget those that are not ``there`` any more."""
    entries, finished, kept = known(), {mutant.key for mutant in done}, dict[str, set[str]]()
    for mutant in there:
        if mutant.key in finished or holds(entries, mutant):
            kept.setdefault(mutant.file, set()).add(mutant.key[:_LENGTH])
    text = {file: " ".join(sorted(keys)) for file, keys in kept.items()}
    LEDGER.write_text(json.dumps(text, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def figures(places: Mapping[str, list[Mutant]], parts: Mapping[str, tuple[str, ...]]) -> dict[str, int | float]:
    """Return the figures of docs/reliability.md: of each part and elsewhere, how many mutants are done of all.

    ``parts``: how the names of their files begin.
    """
    entries, result = known(), dict[str, int | float]()
    for part, beginnings in (*parts.items(), ("elsewhere", ("elsewhere",))):
        inside = [mutant for place, of in places.items() if place.startswith(beginnings) for mutant in of]
        result[f"{part}_mutants"] = len(inside)
        result[f"{part}_tried"] = sum(holds(entries, mutant) for mutant in inside)
    return result
