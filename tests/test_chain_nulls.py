"""A row that lacks a part of the chain's key, or its time, is in no chain: no command counts or links it."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql
from tests.test_plan_script import script

LACKING: dict[str, dict[str, Any]] = {
    "no tenant": {"tenant": None},
    "no vendor": {"source_vendor": None, "source": {}},
    "no document": {"upstream_id": None},
    "no time": {"retrieved_at": None},
}


@pytest.fixture(params=[False, True], ids=["without links", "with links"])
def lacking(request: pytest.FixtureRequest, target_with_chain: Database) -> Database:
    """Each target with a chain of three, of which two need a link, and three rows without each column."""
    if request.param:
        target_with_chain.run(f"ALTER TABLE {target_with_chain.table} ADD supersedes text")
    for name, values in LACKING.items():
        for n in range(3):
            time = f"2025-02-0{n + 1}T00:00:00Z"
            target_with_chain.add(f"{name} {n}", **({"retrieved_at": time} | values))
    return target_with_chain


@pytest.mark.alike
def test_the_audit_expects_what_the_backfill_writes(lacking: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """The audit and a script count the links that the backfill writes once `repair` has moved the other rows."""
    printed = psql(lacking, script(lacking.target, "base:head")).err

    found = [aoc.json("audit", lacking.target).finding("retrofit-not-allowed")["rows"]]
    assert aoc("repair", lacking.target, "--rule", "all", "--apply").exit_code == 0
    found.append(aoc.json("audit", lacking.target).finding("retrofit-not-allowed")["rows"])
    upgraded = aoc.json("upgrade", lacking.target, **retrofit)

    (written,) = [step["rows"] for step in upgraded.report["steps"] if step["statement"].startswith("link rows")]
    assert (found, written) == ([2, 2], 2)
    assert f"WARNING:  2 rows of {lacking.table} need a supersedes link" in printed


def test_verify_and_chain_leave_them_alone(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """If someone lets such rows in after the backfill, verify and `chain --apply` neither count nor link them."""
    table, target = target_with_chain.table, target_with_chain.target
    assert aoc("upgrade", target, **retrofit).exit_code == 0
    columns = ", ".join(
        f"ALTER {column} DROP NOT NULL" for values in LACKING.values() for column in values if column != "source"
    )
    target_with_chain.run(f"ALTER TABLE {table} {columns}")
    for name, values in LACKING.items():
        for n in range(3):
            other = {"tenant": "zoo", "retrieved_at": f"2025-02-0{n + 1}T00:00:00Z"} | values
            target_with_chain.add(f"{name} {n}", **other)
    target_with_chain.add("next", retrieved_at="2025-03-01T00:00:00Z")

    verified, linked = aoc.json("verify", target), aoc.json("chain", target, "--apply", **retrofit)

    assert (verified.finding("chain-broken")["rows"], verified.report["facts"]["rows"]) == (1, 4)
    assert (linked.exit_code, linked.slugs(), linked.report["facts"]["relinked"]) == (0, [], 1)
    assert target_with_chain.value(f"SELECT count(supersedes) FROM {table}") == 3
