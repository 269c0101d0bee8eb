"""The real documents of ../shared/data: known duplicates, known gaps, known chains."""

from pathlib import Path

import psycopg
import pytest

from aoc_migrate.sandbox.feed import load_feed
from tests.conftest import Aoc, Database
from tests.helpers import dump
from tests.rehearsals import facts, rehearse

FEEDS = {"concelier": "advisories.ndjson.gz", "excititor": "vex.ndjson.gz"}


def load(database: Database, data: Path) -> None:
    """Load the target's feed."""
    with psycopg.connect(database.url) as connection:
        load_feed(connection, database.table, data / FEEDS[database.target])


def test_the_audit_finds_the_known_duplicates_of_real_advisories(
    concelier: Database, aoc: Aoc, real_documents: Path
) -> None:
    """4,241 real advisories hold 101 duplicate groups of 244 rows, and no forbidden key."""
    load(concelier, real_documents)
    aoc.configure(concelier)

    ran = aoc.json("audit", "concelier")

    assert ran.exit_code == 1
    assert (ran.finding("duplicate-key")["count"], ran.finding("duplicate-key")["rows"]) == (101, 244)
    assert not {"forbidden-key", "derived-key"} & set(ran.slugs())
    severe = "SELECT count(*) FROM advisory_raw WHERE content->'raw' ? 'severity'"
    assert concelier.value(severe) == 914


def test_the_audit_finds_the_known_gaps_of_real_vex_documents(
    excititor: Database, aoc: Aoc, real_documents: Path
) -> None:
    """817 real VEX documents hold 20 duplicate groups and 28 rows without upstream_id."""
    load(excititor, real_documents)
    aoc.configure(excititor)

    ran = aoc.json("audit", "excititor")

    assert ran.exit_code == 1
    assert ran.finding("duplicate-key")["count"] == 20
    assert ran.finding("missing-required")["rows"] == 28
    assert ran.finding("missing-required")["subject"] == "vex_raw.upstream_id"


@pytest.mark.alike
@pytest.mark.parametrize(("target", "surplus", "linked"), [("concelier", 143, 1816), ("excititor", 20, 445)])
def test_real_documents_are_linked_and_go_back(
    target: str,
    surplus: int,
    linked: int,
    request: pytest.FixtureRequest,
    aoc: Aoc,
    real_documents: Path,
    retrofit: dict[str, str],
) -> None:
    """Rows without upstream id and duplicates in quarantine: each link that was expected is set; all goes back."""
    database: Database = request.getfixturevalue(target)
    load(database, real_documents)
    before = dump(database)
    aoc.configure(database)
    nameless = {"concelier": 0, "excititor": 28}[target]
    assert aoc.json("audit", target).finding("retrofit-not-allowed")["rows"] == linked + surplus
    repaired = aoc.json("repair", target, "--rule", "null-key", "--apply")
    assert (repaired.exit_code, repaired.report["facts"].get("moved", 0)) == (0, nameless), repaired.out
    moved = aoc.json("dedupe", target, "--apply")
    assert (moved.exit_code, moved.report["facts"]["moved"]) == (0, surplus), moved.out

    upgraded = aoc.json("upgrade", target, **retrofit)
    verified = aoc.json("verify", target)

    assert (upgraded.exit_code, upgraded.report["revision"]) == (0, upgraded.report["head"])
    assert (verified.exit_code, verified.slugs("error"), verified.slugs("warning")) == (0, [], [])
    assert verified.report["facts"]["linked"] == linked
    assert verified.report["facts"]["quarantine"] == surplus + nameless
    assert aoc("downgrade", target, "base").exit_code == 0
    for command in ("dedupe", "repair") if nameless else ("dedupe",):
        assert aoc(command, target, "--restore", "--apply").exit_code == 0
    database.run(
        f"ALTER TABLE {database.table} DROP COLUMN supersedes"
    )  # the upgrade's own; it stays at a downgrade
    assert dump(database) == before


@pytest.mark.alike
@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_real_documents_are_rehearsed(
    target: str, request: pytest.FixtureRequest, aoc: Aoc, real_documents: Path
) -> None:
    """A rehearsal on real documents goes up and back: every object and every row is what it was."""
    database: Database = request.getfixturevalue(target)
    load(database, real_documents)
    aoc.configure(database)
    assert aoc.json("repair", target, "--rule", "all", "--apply").exit_code == 0
    assert aoc.json("dedupe", target, "--apply").exit_code == 0
    aoc.environment.clear()
    rows = database.value(f"SELECT count(*) FROM {database.table}")

    ran = rehearse(aoc, database)

    assert (ran.exit_code, facts(ran)["way_back"]) == (0, "exact"), ran.report["findings"]
    assert facts(ran)["compared_rows"] >= rows
