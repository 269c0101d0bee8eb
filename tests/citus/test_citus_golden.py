"""The SQL that runs on a cluster is the one in tests/golden/citus."""

import difflib
import os

from tests.citus.recorded import GOLDEN, read, recorded, write
from tests.conftest import Aoc, Database

COMMANDS = "audit; upgrade; verify --probe; chain; downgrade base"


def test_what_runs_on_a_cluster_is_recorded(distributed: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Up and down, the statements about our tables are those of the golden file, in their order."""
    aoc.environment |= retrofit
    for n in range(12):
        link = {"supersedes": "nobody"} if n % 4 == 0 else {}
        distributed.add(f"{n:02}", tenant=f"tenant {n % 2}", retrieved_at=f"2025-01-{n + 1:02}T00:00:00Z", **link)

    def all_of_it(listened: Aoc) -> None:
        for command in COMMANDS.split("; "):
            verb, *words = command.split()
            ran = listened(verb, "concelier", *words)
            assert ran.exit_code == 0, ran.out + ran.err

    now = recorded(distributed, aoc, all_of_it)
    if os.environ.get("AOC_UPDATE_GOLDENS"):
        write(GOLDEN / "concelier.sql", now)

    golden = read(GOLDEN / "concelier.sql")

    difference = difflib.unified_diff(golden, now, "recorded", "now", lineterm="", n=0)
    assert now == golden, "\n".join(["to record it: AOC_UPDATE_GOLDENS=1", *difference])
