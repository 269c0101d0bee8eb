"""The last figures of each proof in docs/reliability.md, from docs/reliability.json.

Only names of proofs are known here. A figure's name becomes its words, and the end of the name its unit.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROOFS = {
    "matrix": "the tests on each version of PostgreSQL and Python",
    "faults": "a fault at each statement boundary of each command, then the same command again",
    "soak": "writers, readers, a standby and dumps, while the database goes up and down and is killed",
    "model": "commands, kills, foreign changes and rows in any order, each step compared with a model",
    "fuzz": "command lines, names, documents and times that nobody would write",
    "predicates": "rows with any JSON in any place, against each rule written once more in plain Python",
    "mutation": "the code is broken on purpose, and the tests must notice",
    "coverage": "which branches the tests run",
    "bench": "times and stalls compared with plain SQL",
}
"""What each proof does, by the name under which `scripts.proofs.record` keeps it."""
_UNITS = {
    "_ms": "ms",
    "_seconds": "s",
    "_s": "s",
    "_minutes": "min",
    "_hours": "h",
    "_percent": "%",
    "_bytes": "bytes",
    "_mib": "MiB",
}
_SPELLED = {"postgresql": "PostgreSQL", "python": "Python", "sql": "SQL", "wal": "WAL", "cpu": "CPU"}
_ABOUT = ("commit", "postgresql", "python")


def figures(root: Path) -> Iterator[str]:
    """Yield the table of all proofs: those of `PROOFS`, then any other that was recorded."""
    path = root / "docs" / "reliability.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    yield "| proof | what it does | last run | figures |"
    yield "| --- | --- | --- | --- |"
    for proof in [*PROOFS, *sorted(known.keys() - PROOFS.keys())]:
        name = f"`scripts/{proof}`" if (root / "scripts" / proof).is_file() else words(proof)
        cells = [name, PROOFS.get(proof, ""), *_of(proof, known.get(proof))]
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""


def _of(proof: str, run: dict[str, Any] | None) -> tuple[str, str]:
    """Return when a proof ran on what, and its figures."""
    if run is None:
        return ("see [performance.md](performance.md)" if proof == "bench" else "not run yet"), ""
    about = [words(f"{name} {run[name]}") for name in _ABOUT if run.get(name)]
    return ", ".join([run["date"], *about]), "; ".join(shown(run["figures"]))


def shown(figures: dict[str, Any]) -> Iterator[str]:
    """Yield each figure in words, with its unit; figures within a figure follow in parentheses."""
    for name, value in figures.items():
        unit = next((end for end in _UNITS if name.endswith(end)), "")
        yield f"{words(name.removesuffix(unit))}: {_value(value, _UNITS.get(unit, ''))}"


def _value(value: Any, unit: str) -> str:
    match value:
        case dict():
            return f"({', '.join(f'{words(str(key))}: {_value(each, unit)}' for key, each in value.items())})"
        case list():
            return ", ".join(_value(each, unit) for each in value) or "none"
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case float():
            text = f"{value:,.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value:.3g}"
        case int():
            text = f"{value:,}"
        case _:
            text = str(value)
    return f"{text} {unit}".strip() if unit != "%" else f"{text} %"


def words(name: str) -> str:
    """Return the words of a name, with names of products as they are spelled."""
    return " ".join(_SPELLED.get(word, word) for word in name.replace("_", " ").split())
