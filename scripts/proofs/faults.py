"""Every command, broken at every statement boundary in every way, and compared with an undisturbed run."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product, repeat
from pathlib import Path
from threading import Event

import psycopg

from aoc_migrate.sandbox.server import Server, find_binaries
from scripts.proofs.record import record
from tests.faults.boundaries import Boundary
from tests.faults.lab import FAULTS, Fault, Lab
from tests.faults.scenarios import Scenario, scenarios
from tests.forks import place

KINDS = {fault.__name__.replace("_", "-"): fault for fault in FAULTS}


def break_all(target: str | None, command: str | None, only: str | None, step: int, *, write: bool) -> int:
    """Break what the arguments select, at every ``step``-th boundary, each target on a server of its own.

    Return the exit code. ``write``: keep the figures, if nothing was different.
    """
    targets = [target] if target else ["concelier", "excititor"]
    every = [[s for s in scenarios(each) if command in (None, s.command)] for each in targets]
    if not any(every):
        sys.exit(f"There is no command {command!r}. Take upgrade head, downgrade -1 or downgrade base.")
    faults, begun, ended = {only: KINDS[only]} if only else KINDS, time.monotonic(), Event()
    place()  # starts what the threads share
    with ThreadPoolExecutor(len(targets)) as pool:
        try:
            broken = list(pool.map(_on_a_server, every, repeat(faults), repeat(step), repeat(ended)))
        finally:
            ended.set()  # if one target was interrupted or has failed, the other one stops too
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


def _on_a_server(
    every: list[Scenario], faults: dict[str, Fault], step: int, ended: Event
) -> tuple[Counter[str], Counter[str], str]:
    """Break these commands on a new server.

    Return how many cases of each kind there were, how many of them ended otherwise, and the server's version.
    """
    cases, wrong = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="aoc", dir="/tmp") as folder:
        server = Server(Path(folder) / "pg", find_binaries())
        server.start()
        try:
            lab = Lab(server.url("postgres"), server)
            for scenario, kind, number, boundary in _cases(lab, every, faults, step):
                if ended.is_set():
                    break
                problems = lab.broken(scenario, boundary, faults[kind])
                cases[kind] += 1
                wrong[kind] += bool(problems)
                verdict = "DIFFERENT" if problems else "same"
                line = f"{verdict:9} {kind:18} {scenario}: {number * step + 1}. {boundary}"
                print("\n          ".join([line, *problems]), flush=True)
            with psycopg.connect(server.url("postgres")) as connection:
                version = str(connection.info.parameter_status("server_version")).split()[0]
        finally:
            server.stop()
    return cases, wrong, version


def _cases(
    lab: Lab, every: list[Scenario], kinds: Iterable[str], step: int
) -> Iterator[tuple[Scenario, str, int, Boundary]]:
    """Yield each case, with the number of its boundary."""
    for scenario, kind in product(every, kinds):
        for number, boundary in enumerate(lab.undisturbed(scenario).boundaries[::step]):
            yield scenario, kind, number, boundary
