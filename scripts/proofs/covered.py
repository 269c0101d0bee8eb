"""Runs the tests with coverage in every process of theirs, and says which lines and branches none of them took."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from scripts.proofs.contexts import SECONDS
from scripts.proofs.excuses import UNCOVERED, excused, read
from scripts.proofs.record import ROOT

FOLDER = ROOT / "build" / "coverage"
DATA = FOLDER / "covered"
SECONDS_FILE = FOLDER / "seconds.json"
SETTINGS = ROOT / "pyproject.toml"
BOUND = 98.0
"""The least percentage of lines and branches, without the excused ones."""


@dataclass
class Coverage:
    """What was taken of what there is: lines and branches, counted together as coverage does."""

    there: int = 0
    taken: int = 0
    excused: int = 0
    missed: dict[str, list[str]] = field(default_factory=dict)
    idle: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """The percentage of what is not excused."""
        return 100 * self.taken / (self.there - self.excused)

    @property
    def percent_of_all(self) -> float:
        """The percentage with what is excused counted as missed."""
        return 100 * self.taken / self.there


def environment() -> dict[str, str]:
    """Return the environment in which every case runs, and Python measures itself and keeps byte code."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "AOC_TEST_EVERYTHING": "1",
        "COVERAGE_PROCESS_START": str(SETTINGS),
        "COVERAGE_FILE": str(DATA),
        "COVERAGE_ROOT": str(ROOT),
        SECONDS: str(SECONDS_FILE),
    }


def measure(words: list[str], *, keep: bool) -> int:
    """Run pytest with ``words``; return its exit code. ``keep``: add to what earlier runs took."""
    if not keep:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "scripts.proofs.contexts", *words]
    code = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    if list(FOLDER.glob(f"{DATA.name}.*")):
        _coverage("combine", "--quiet", *(["--append"] if DATA.exists() else []))
    return code


def evaluate() -> Coverage:
    """Return what the runs so far took of today's code."""
    listed = FOLDER / "report.json"
    _coverage("json", "--quiet", "-o", str(listed))
    files = json.loads(listed.read_text(encoding="utf-8"))["files"]
    excuses = [(entry, excused(entry)) for entry in read(UNCOVERED)]
    result, used = Coverage(), Counter[str]()
    for path, known in sorted(files.items()):
        name = str(Path(path).resolve().relative_to(ROOT)) if Path(path).is_absolute() else path
        lines, jumps = known["missing_lines"], known["missing_branches"]
        result.taken += len(known["executed_lines"]) + len(known["executed_branches"])
        result.there += len(known["executed_lines"]) + len(known["executed_branches"]) + len(lines) + len(jumps)
        missed = [(line, str(line)) for line in lines]
        missed += [(a, f"{a}->{b if b > 0 else 'exit'}") for a, b in jumps if a not in lines]
        result.excused += sum(a in lines for a, _ in jumps if any(a in span for _, span in _of(excuses, name)))
        for line, said in sorted(missed):
            if matching := [entry for entry, span in _of(excuses, name) if line in span]:
                used.update(map(str, matching))
                result.excused += 1
            else:
                result.missed.setdefault(name, []).append(said)
    result.idle = [str(entry) for entry, _ in excuses if not used[str(entry)]]
    return result


def _of(excuses: list, name: str) -> list:  # type: ignore[type-arg]
    return [(entry, span) for entry, span in excuses if entry.file == name]


def _coverage(*words: str) -> None:
    command = [sys.executable, "-m", "coverage", *words, "--rcfile", str(SETTINGS), "--data-file", str(DATA)]
    known = {k: v for k, v in environment().items() if k != "COVERAGE_PROCESS_START"}
    subprocess.run(command, cwd=ROOT, env=known, check=True)
