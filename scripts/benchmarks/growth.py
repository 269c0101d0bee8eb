"""How time, memory and bytes grow with the rows, extended to 10^8."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from scripts.benchmarks.lab import AOC, ROOT, TABLE, Lab, value
from scripts.benchmarks.results import say, seconds
from scripts.benchmarks.sizes import rehearsed, scanned, stored

VERBS = ("audit", "upgrade", "verify")
STEPS = {
    "proof of 0003": "VALIDATE CONSTRAINT advisory_raw_keys",
    "idempotency index": "CREATE UNIQUE INDEX",
    "chain index": "CREATE INDEX",
    "backfill": "link rows",
    "proof of 0007": "VALIDATE CONSTRAINT advisory_raw_content",
}
FAR = 100_000_000


def measure(lab: Lab, sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Yield for each number of rows the seconds and peak MiB of each verb, the steps of the upgrade, and bytes.

    The WAL of each step is that of a rehearsal, on a copy of the largest table.
    """
    for rows in sizes:
        lab.create("growth", documents=True, rows=rows)
        if rows == sizes[-1]:
            lab.replace("copy", "growth")
        found: dict[str, Any] = {"rows": rows, "reads": {}}
        with lab.connect("growth") as connection:
            found["before"] = stored(connection)
            for verb in VERBS:
                before = scanned(connection)
                took, memory, report = watched(lab, verb)
                found |= {verb: round(took, 2), f"{verb}_mib": memory}
                found["reads"][verb] = round((scanned(connection) - before) / rows, 1)
                if verb == "upgrade":
                    found["steps"] = {name: times(report, words) for name, words in STEPS.items()}
                    found["held_ms"] = max(step.get("held_ms", 0) for step in report["steps"])
            found["after"] = stored(connection)
            found["links"] = int(value(connection, f"SELECT count(supersedes) FROM {TABLE}"))
        if rows == sizes[-1]:
            found["wal"] = rehearsed(lab, "copy", STEPS)
            lab.drop("copy")
        lab.drop("growth")
        yield found


def watched(lab: Lab, verb: str) -> tuple[float, int, dict[str, Any]]:
    """Run a verb; return its seconds, its peak memory in MiB, and its report."""
    environment = os.environ | {
        "CONCELIER_DATABASE_URL": lab.server.url("growth"),
        "AOC_ALLOW_SUPERSEDES_RETROFIT": "true",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("EXCITITOR_DATABASE_URL", None)
    output = lab.folder / f"{verb}.json"
    command = [*AOC, verb, "concelier", "--format", "json", "--output", str(output)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    usage: list[Any] = []
    took = seconds(lambda: usage.extend(os.wait4(process.pid, 0)))
    process.returncode = os.waitstatus_to_exitcode(usage[1])
    (report,) = json.loads(output.read_text(encoding="utf-8"))["reports"]
    if process.returncode:
        sys.exit(f"{verb} ended with exit code {process.returncode}: {report['findings']}")
    say(f"{verb}: {took:.1f} s")
    return took, usage[2].ru_maxrss // 1024, report


def times(report: dict[str, Any], words: str) -> dict[str, float]:
    """Return the seconds that a step took, and its estimate, if it had one."""
    step = next(step for step in report["steps"] if words in step["statement"])
    known = {"took": step["total_ms"], "estimated": step.get("estimated_ms")}
    return {name: value / 1000 for name, value in known.items() if value is not None}


def extended(found: list[dict[str, Any]], verb: str) -> float:
    """Return the seconds at 10^8 rows, on the line through the last two sizes; never less than in proportion."""
    *_, before, last = found
    slope = math.log(last[verb] / before[verb]) / math.log(last["rows"] / before["rows"])
    return float(last[verb] * (FAR / last["rows"]) ** max(1.0, slope))
