"""Every command, broken at every statement boundary in every way, and compared with an undisturbed run."""

import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import psycopg

from aoc_migrate.sandbox.server import Server, find_binaries
from scripts.proofs.record import record
from tests.faults.lab import FAULTS, Fault, Lab
from tests.faults.scenarios import Scenario, scenarios

KINDS = {fault.__name__.replace("_", "-"): fault for fault in FAULTS}


def break_all(target: str | None, command: str | None, only: str | None, step: int, *, write: bool) -> int:
    """Break what the arguments select, at every ``step``-th boundary, each target on a server of its own.

    Return the exit code. ``write``: keep the figures, if nothing was different.
    """
    targets = [target] if target else ["concelier", "excititor"]
    every = [[s for s in scenarios(each) if command in (None, s.command)] for each in targets]
    if not any(every):
        sys.exit(f"There is no command {command!r}. Take upgrade head, downgrade -1 or downgrade base.")
    faults, begun = [KINDS[only]] if only else list(FAULTS), time.monotonic()
    with ProcessPoolExecutor(len(targets)) as pool:
        broken = list(pool.map(_on_a_server, every, repeat(faults), repeat(step)))
    minutes = (time.monotonic() - begun) / 60
    cases, wrong = (sum(counts, Counter[str]()) for counts in zip(*(each[:2] for each in broken), strict=True))
    for kind, count in cases.items():
        print(f"{kind}: {count} cases, {wrong[kind]} different")
    print(f"{cases.total()} cases in {minutes:.1f} minutes, {wrong.total()} different")
    if write and not wrong.total():
        figures = {kind.replace("-", "_"): count for kind, count in cases.items()}
        record(
            "faults", {"cases": cases.total(), **figures, "minutes": round(minutes, 1)}, postgresql=broken[0][2]
        )
    return 1 if wrong.total() else 0


def _on_a_server(every: list[Scenario], faults: list[Fault], step: int) -> tuple[Counter[str], Counter[str], str]:
    """Break these commands on a new server; return the counts of `_break`, and the server's version."""
    with tempfile.TemporaryDirectory(prefix="aoc", dir="/tmp") as folder:
        server = Server(Path(folder) / "pg", find_binaries())
        server.start()
        try:
            cases, wrong = _break(Lab(server.url("postgres"), server), every, faults, step)
            with psycopg.connect(server.url("postgres")) as connection:
                version = str(connection.info.parameter_status("server_version")).split()[0]
        finally:
            server.stop()
    return cases, wrong, version


def _break(lab: Lab, every: list[Scenario], faults: list[Fault], step: int) -> tuple[Counter[str], Counter[str]]:
    """Return how many cases of each kind of fault there were, and how many of them ended otherwise."""
    cases, wrong = Counter[str](), Counter[str]()
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
    return cases, wrong
