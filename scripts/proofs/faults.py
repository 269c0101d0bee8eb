"""Every command, broken at every statement boundary in every way, and compared with an undisturbed run."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from aoc_migrate.sandbox.server import Server, find_binaries
from tests.faults.lab import FAULTS, Fault, Lab
from tests.faults.scenarios import Scenario, scenarios

KINDS = {fault.__name__.replace("_", "-"): fault for fault in FAULTS}


def break_all(target: str | None, command: str | None, only: str | None, step: int) -> int:
    """Break what the arguments select, at every ``step``-th boundary; return the exit code."""
    targets = [target] if target else ["concelier", "excititor"]
    every = [s for each in targets for s in scenarios(each) if command in (None, s.command)]
    if not every:
        sys.exit(f"There is no command {command!r}. Take upgrade head, downgrade -1 or downgrade base.")
    with tempfile.TemporaryDirectory(prefix="aoc", dir="/tmp") as folder:
        server = Server(Path(folder) / "pg", find_binaries())
        server.start()
        try:
            return _break(
                Lab(server.url("postgres"), server), every, [KINDS[only]] if only else list(FAULTS), step
            )
        finally:
            server.stop()


def _break(lab: Lab, every: list[Scenario], faults: list[Fault], step: int) -> int:
    cases, wrong, begun = Counter[str](), Counter[str](), time.monotonic()
    for scenario in every:
        for fault in faults:
            kind = fault.__name__.replace("_", "-")
            for number, boundary in enumerate(lab.undisturbed(scenario).boundaries[::step]):
                problems = lab.broken(scenario, boundary, fault)
                cases[kind] += 1
                wrong[kind] += bool(problems)
                verdict = "DIFFERENT" if problems else "same"
                print(f"{verdict:9} {kind:18} {scenario}: {number * step + 1}. {boundary}", flush=True)
                for problem in problems:
                    print(f"          {problem}", flush=True)
    for kind, count in cases.items():
        print(f"{kind}: {count} cases, {wrong[kind]} different")
    print(f"{cases.total()} cases in {time.monotonic() - begun:.0f} s, {wrong.total()} different")
    return 1 if wrong.total() else 0
