"""The SQL that runs on a cluster is the one in tests/golden/citus."""

import difflib
import os

import pytest

from tests.citus.recorded import GOLDEN, read, recorded, write
from tests.conftest import Aoc, Database

COMMANDS = {
    "revisions": "audit; upgrade; verify --probe; chain; downgrade base",
    "quarantine": "repair --apply; dedupe --apply; dedupe --restore --apply; repair --restore --apply",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_runs_on_a_cluster_is_recorded(
    name: str, distributed: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """The statements about the tables are those of the golden file, in the order of their first time."""
    aoc.environment |= retrofit
    for n in range(12):
        row = {
            "tenant": f"tenant {n % 2}",
            "content_hash": f"{n}",
            "retrieved_at": f"2025-01-{n + 1:02}T00:00:00Z",
        }
        distributed.add(f"{n:02}", **row, **({"supersedes": "nobody"} if n % 4 == 0 else {}))
    if name == "quarantine":
        distributed.add("twin", tenant="tenant 1", content_hash="1")
        distributed.add(
            "blank", tenant="tenant 1", source_vendor=" ", source={"vendor": "osv"}, content_hash="blank"
        )
        distributed.add("lost", tenant="tenant 0", source_vendor=" ", source={}, content_hash="lost")

    def all_of_it(listened: Aoc) -> None:
        for command in COMMANDS[name].split("; "):
            verb, *words = command.replace("repair --apply", "repair --rule blank-key --apply").split()
            ran = listened(verb, "concelier", *words)
            assert ran.exit_code == 0, ran.out + ran.err

    now, path = recorded(distributed, aoc, all_of_it), GOLDEN / f"{name}.sql"
    if os.environ.get("AOC_UPDATE_GOLDENS"):
        write(path, now)

    golden = read(path)

    difference = difflib.unified_diff(golden, now, "recorded", "now", lineterm="", n=0)
    assert now == golden, "\n".join(["to record it: AOC_UPDATE_GOLDENS=1", *difference])
