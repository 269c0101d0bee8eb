"""Services at work, a standby, dumps and kills, while both targets go up and down: what came of it."""

import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from aoc_migrate.sandbox.databases import RAW_TABLES
from scripts.proofs import soak_verdict
from scripts.proofs.record import record
from scripts.proofs.soak_ground import Ground, ground
from scripts.proofs.soak_notes import read
from scripts.proofs.soak_operator import Operator


def soak(minutes: float, *, seed: int | None = None, rows: int = 2000, write: bool = False) -> int:
    """Run a soak and print its summary; return the exit code."""
    number = secrets.randbelow(10**6) if seed is None else seed
    print(f"seed {number}: {minutes:g} minutes, {rows} rows a target", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="aoc-soak-", dir="/tmp") as folder,
        ground(rows, str(number), Path(folder)) as field,
    ):
        operators = under_fire(field, str(number), minutes * 60)
        figures, wrong = verdict(field, operators)
        if figures["longest_stall_ms"] > figures["limit_ms"]:
            wrong.append(f"{figures['longest_stall_of']} waited longer than the limit")
        with field.connect("postgres") as connection:
            version = str(connection.info.parameter_status("server_version"))
    summary(figures, wrong)
    if write and not wrong:
        record("soak", {"seed": number, "minutes": minutes, "rows": rows, **figures}, postgresql=version)
    return 1 if wrong else 0


def under_fire(
    field: Ground, seed: str, seconds: float, targets: Collection[str] = tuple(RAW_TABLES)
) -> list[Operator]:
    """Let clients and operators work for some seconds, then let the operators come to their end alone.

    ``seconds`` 0: until each kind of kill was dealt once to each target.
    """
    operators = [Operator(field, target, seed, endless=seconds > 0) for target in targets]
    with field.clients(seed, targets):
        others = [
            threading.Thread(target=field.observe, daemon=True),
            threading.Thread(target=field.dump, args=[seed], daemon=True),
        ]
        for thread in (*others, *operators):
            thread.start()
        if seconds:
            time.sleep(seconds)
            field.over.set()
        for operator in operators:
            operator.join()
        field.ended.set()
        for thread in others:
            thread.join()
    for operator in operators:
        operator.finish()
    return operators


def verdict(field: Ground, operators: list[Operator]) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of a soak, and a sentence for everything that is wrong."""
    notes = read(field.folder)
    refused, wrong = soak_verdict.failures(field, notes)
    rows, lost = soak_verdict.rows(field, notes)
    stalls = soak_verdict.longest(field, notes)
    wrong += lost + soak_verdict.standby(field) + [each for operator in operators for each in operator.wrong]
    done = sum(
        (Counter(line["done"]) for lines in notes.values() for line in lines if line["kind"] == "end"), Counter()
    )
    figures = {
        "commands": dict(sum((o.commands for o in operators), Counter[str]())),
        "exit_codes": dict(sum((o.ends for o in operators), Counter[str]())),
        "kills": dict(sum((o.kills for o in operators), Counter[str]())),
        "statements": dict(done),
        "refused_or_lost": dict(refused),
        "rows": dict(rows),
        "dumps": dict(field.dumps),
        "autovacuums": field.autovacuums.total(),
        "largest_lag_bytes": int(field.largest_lag),
        "longest_stall_ms": round(stalls["clients"][0]),
        "longest_stall_of": stalls["clients"][1],
        "bystander_longest_ms": round(stalls["bystander"][0]),
        "limit_ms": round(soak_verdict.LIMIT_MS + stalls["bystander"][0]),
    }
    return figures, wrong


def summary(figures: dict[str, Any], wrong: list[str]) -> None:
    """Print the figures, then what is wrong."""
    print()
    for name, value in figures.items():
        shown = ", ".join(f"{k} {v}" for k, v in sorted(value.items())) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):>21}: {shown}")
    for kind, count in Counter(wrong).items():
        print(f"WRONG: {kind}{f' ({count} times)' if count > 1 else ''}")
    print(f"{len(wrong)} wrong")
