"""The real documents, spread over a Citus cluster: known duplicates and gaps, every link, and all the way back."""

from pathlib import Path

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import dump
from tests.test_real_documents import load


@pytest.mark.parametrize(
    ("target", "surplus", "nameless", "linked"), [("distributed", 143, 0, 1816), ("distributed_vex", 20, 28, 445)]
)
def test_real_documents_are_linked_and_go_back(
    target: str,
    surplus: int,
    nameless: int,
    linked: int,
    request: pytest.FixtureRequest,
    aoc: Aoc,
    real_documents: Path,
    retrofit: dict[str, str],
) -> None:
    """Audit, repair, dedupe, upgrade, probe and the way back find and leave what they do on one server."""
    database: Database = request.getfixturevalue(target)
    name = database.target
    load(database, real_documents)
    before = dump(database)
    assert aoc.json("audit", name).finding("retrofit-not-allowed")["rows"] == linked + surplus
    repaired = aoc.json("repair", name, "--rule", "null-key", "--apply")
    assert (repaired.exit_code, repaired.report["facts"].get("moved", 0)) == (0, nameless), repaired.out
    moved = aoc.json("dedupe", name, "--apply")
    assert (moved.exit_code, moved.report["facts"]["moved"]) == (0, surplus), moved.out

    upgraded = aoc.json("upgrade", name, **retrofit)
    verified = aoc.json("verify", name, "--probe")

    assert (upgraded.exit_code, upgraded.report["revision"]) == (0, upgraded.report["head"]), upgraded.out
    assert (verified.exit_code, verified.slugs("error"), verified.slugs("warning")) == (0, [], [])
    facts = verified.report["facts"]
    assert (facts["linked"], facts["quarantine"], facts["probed"]) == (linked, surplus + nameless, True)
    assert aoc("downgrade", name, "base").exit_code == 0
    for command in ("dedupe", "repair") if nameless else ("dedupe",):
        assert aoc(command, name, "--restore", "--apply").exit_code == 0
    assert dump(database) == before
