"""The parts of a run: each is kept in a file as soon as it is whole, and ``--resume`` takes it from there."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.results import say

Figures = list[dict[str, Any]]


@dataclass
class Parts:
    """The parts that are whole, in ``file``, and what they were measured for: sizes, seed, commit."""

    file: Path
    asked: dict[str, Any]
    resume: bool = False

    def __post_init__(self) -> None:
        """Read the file of an interrupted run, if it asked the same; forget it otherwise."""
        kept = json.loads(self.file.read_text(encoding="utf-8")) if self.resume and self.file.exists() else {}
        if kept and kept["asked"] != self.asked:
            say(f"{self.file} is of another run ({kept['asked']}): all parts are measured again.")
        self.whole: dict[str, Figures] = kept["whole"] if kept.get("asked") == self.asked else {}

    def take(self, name: str, measure: Callable[[], Iterable[dict[str, Any]]]) -> Figures:
        """Return the figures of a part, measured now or before an interruption."""
        if name in self.whole:
            say(f"== {name}: kept")
        else:
            say(f"== {name}")
            self.whole[name] = list(measure())
            self.file.parent.mkdir(exist_ok=True)
            self.file.write_text(json.dumps({"asked": self.asked, "whole": self.whole}), encoding="utf-8")
        return self.whole[name]

    def forget(self) -> None:
        """Remove the file: the run is complete."""
        self.file.unlink(missing_ok=True)
