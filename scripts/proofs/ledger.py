"""What scripts/mutation found, place by place: mutated.json. A place that has changed since must be tried again.

A place is a file, or "elsewhere" for the sample of all other files.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.proofs.mutants import Mutant
from scripts.proofs.record import commit

LEDGER = Path(__file__).parent / "mutated.json"


def known() -> dict[str, dict[str, Any]]:
    """Return the entries of all places."""
    entries: dict[str, dict[str, Any]] = json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}
    return entries


def holds(entry: Mapping[str, Any] | None, mutants: Iterable[Mutant]) -> bool:
    """Return whether an entry is of these mutants."""
    return entry is not None and entry["digest"] == digest(mutants)


def digest(mutants: Iterable[Mutant]) -> str:
    """Return a text that is another one as soon as a mutant is."""
    return hashlib.sha256("\n".join(sorted(mutant.key for mutant in mutants)).encode()).hexdigest()[:16]


def write(found: Mapping[str, tuple[list[Mutant], int]]) -> None:
    """Put places into the ledger: their mutants, each of them killed or explained, and how many were explained."""
    about = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    new = {
        place: about | {"mutants": len(mutants), "explained": explained, "digest": digest(mutants)}
        for place, (mutants, explained) in found.items()
    }
    LEDGER.write_text(json.dumps(known() | new, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def figures(places: Mapping[str, list[Mutant]], parts: Mapping[str, tuple[str, ...]]) -> dict[str, int | float]:
    """Return the figures of docs/reliability.md: of each part and elsewhere, how many mutants were tried of all.

    ``parts``: how the names of their files begin. Only what was tried of today's code counts.
    """
    entries, result, explained = known(), dict[str, int | float](), 0
    for part, beginnings in (*parts.items(), ("elsewhere", ("elsewhere",))):
        inside = {place: mutants for place, mutants in places.items() if place.startswith(beginnings)}
        held = [entries[place] for place, mutants in inside.items() if holds(entries.get(place), mutants)]
        explained += sum(entry["explained"] for entry in held)
        result[f"{part}_mutants"] = sum(map(len, inside.values()))
        result[f"{part}_tried"] = sum(entry["mutants"] for entry in held)
    return result | {"explained": explained}
