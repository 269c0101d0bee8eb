"""What was checked and passed: every report says it with counts, and none claims what was not checked."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import fill

BAD_ROWS = "bad rows are refused, each by its rule"
LINKS = "each row links to the revision before it"
LACKING = "the backfill may write the links that rows lack"
PROVEN = "rules are proven for every row"
TWICE = "no two rows share an idempotency key"


def checks(report: dict[str, Any]) -> dict[str, tuple[int | None, int]]:
    """Return for each check of a report of how many and how many failed."""
    facts = report["facts"]
    found = {each["what"]: (each["checked"], each["failed"]) for each in facts.get("checks", [])}
    failed = sum(number > 0 for _, number in found.values())
    assert (facts.get("checks_passed", 0), facts.get("checks_not_passed", 0)) == (len(found) - failed, failed)
    return found


@pytest.fixture
def ten_rows(target_with_chain: Database, aoc: Aoc) -> Database:
    """Each target in turn, with ten clean rows."""
    target_with_chain.run(f"DELETE FROM {target_with_chain.table}")
    fill(target_with_chain, 10)
    aoc.configure(target_with_chain)
    return target_with_chain


def test_an_audit_counts_what_it_read(ten_rows: Database, aoc: Aoc) -> None:
    """Each rule is there with the rows that were read, and with those that break it, once for each column."""
    clean = checks(aoc.json("audit").report)
    ten_rows.add("bad", tenant=None, upstream_id=None, source='{"severity": 1}')
    ten_rows.add("twice", upstream_id="twice", content_hash="twice")
    ten_rows.add("again", upstream_id="twice", content_hash="twice")

    dirty = checks(aoc.json("audit").report)

    assert [clean[what] for what in ("required columns have a value", "no forbidden key", TWICE)] == [(10, 0)] * 3
    assert set(clean) == set(dirty)
    assert dirty["required columns have a value"] == (13, 2)
    assert (dirty["no forbidden key"], dirty["no derived key"]) == ((13, 1), (13, 0))
    assert (dirty[TWICE], dirty["no idempotency key has a NULL"]) == ((13, 2), (13, 1))


def test_an_audit_says_whether_links_may_be_written(
    ten_rows: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Without the permission to write links the audit counts those that are missing; with it, it need not."""
    ten_rows.run(f"DELETE FROM {ten_rows.table}")
    for n in range(3):
        ten_rows.add(f"revision-{n}", upstream_id="one", content_hash=f"sha256:{n}")

    assert checks(aoc.json("audit").report)[LACKING] == (2, 2)
    assert checks(aoc.json("audit", **retrofit).report)[LACKING] == (None, 0)


def test_an_audit_that_stops_early_claims_nothing_more(excititor: Database, aoc: Aoc) -> None:
    """Where a column is missing no row is read, and no check of rows is reported."""
    excititor.run("ALTER TABLE vex_raw DROP COLUMN source")
    aoc.configure(excititor)

    found = checks(aoc.json("audit").report)

    assert found["columns have the names and types of the contract, and the table has a key"] == (13, 1)
    assert TWICE not in found
    assert "required columns have a value" not in found


def test_verify_counts_rules_links_and_refusals(ten_rows: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Upgrade says what its audit and its verify checked; verify alone says only what it checked itself."""
    upgraded = checks(aoc.json("upgrade", **retrofit).report)
    verified, probed = checks(aoc.json("verify").report), checks(aoc.json("verify", "--probe").report)

    assert (verified[PROVEN], verified["indexes are valid"], verified[LINKS]) == ((11, 0), (2, 0), (10, 0))
    assert (BAD_ROWS in verified, TWICE in verified) == (False, False)
    refused, accepted = probed[BAD_ROWS]
    assert (refused or 0) > 80
    assert accepted == 0
    assert upgraded[BAD_ROWS] == probed[BAD_ROWS]
    assert upgraded[TWICE] == (10, 0)
    ten_rows.run(f"UPDATE {ten_rows.table} SET supersedes = 'r1' WHERE id = 'r5'")
    ten_rows.run(f"ALTER TABLE {ten_rows.table} DROP CONSTRAINT {ten_rows.table}_keys_v1")
    broken = checks(aoc.json("verify", "--probe").report)
    assert (broken[PROVEN], broken[LINKS]) == ((11, 1), (10, 1))
    assert broken[BAD_ROWS][1] > 0


def test_a_scope_is_part_of_what_was_checked(ten_rows: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Within --tenant or --since, the check of links says so, and counts the rows of the scope."""
    assert aoc("upgrade", **retrofit).exit_code == 0

    found = checks(aoc.json("verify", "--tenant", "nobody", "--since", "2h").report)

    assert LINKS not in found
    assert found[f"{LINKS} (tenant nobody, documents stored in the last 2 h)"] == (0, 0)


def test_what_is_not_promised_yet_is_not_claimed(ten_rows: Database, aoc: Aoc) -> None:
    """Below head, what later revisions promise is not there: no proof, no index, no link."""
    assert aoc("upgrade", ten_rows.target, f"{ten_rows.target}_0002").exit_code == 0

    found = checks(aoc.json("verify", "--probe").report)

    assert found["rules guard new rows"] == (2, 0)
    assert {PROVEN, "indexes are valid", LINKS} & set(found) == set()


def test_a_probe_that_could_not_run_is_not_claimed(ten_rows: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Where no row can be stored at all, no refusal is claimed; at head, an upgrade claims nothing."""
    assert aoc("upgrade", **retrofit).exit_code == 0
    ten_rows.run(f"ALTER TABLE {ten_rows.table} ADD CONSTRAINT closed CHECK (false) NOT VALID")

    assert BAD_ROWS not in checks(aoc.json("verify", "--probe").report)
    assert checks(aoc.json("upgrade").report) == {}
