"""Verify below head: it judges what the current revision promises, and claims no more than that."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Aoc, Database
from tests.test_evidence import only_run


@pytest.fixture
def first_stage(concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at the guide's first stage: constraints and idempotency index."""
    concelier.add("1")
    aoc.configure(concelier)
    assert aoc("upgrade", "concelier_0004").exit_code == 0
    return concelier


def test_the_first_stage_passes(first_stage: Database, aoc: Aoc) -> None:
    """At 0004, what the upgrade says to type next passes and says what is pending."""
    following = aoc.json("upgrade", "concelier_0004").report["next"]["command"]
    assert following == "aoc-migrate verify concelier"

    ran = aoc.json("verify", "concelier")

    assert (ran.exit_code, ran.slugs()) == (0, ["not-at-head"])
    assert ran.finding("not-at-head")["problem"] == (
        "concelier is at concelier_0004; head is concelier_0008. Only what its revision promises was checked. "
        "Pending: concelier_0005 (Chain index), concelier_0006 (Supersedes backfill), "
        "concelier_0007 (Guard content), concelier_0008 (Advisory view swap)."
    )


@pytest.mark.parametrize("form", ["table", "markdown", "html"])
def test_the_verdict_claims_no_more_than_was_checked(form: str, first_stage: Database, aoc: Aoc) -> None:
    """Below head, every form says up to which revision the target passed; at head there is no limit."""
    below = aoc("verify", "--format", form).out
    assert aoc("upgrade").exit_code == 0
    above = aoc("verify", "--format", form).out

    assert re.search(r"PASSED( verify concelier)? up to concelier_0004: 1 warning", below)
    assert re.search(r"PASSED( verify concelier)?: nothing changed", above)


def test_pending_revisions_fail_where_head_is_required(first_stage: Database, aoc: Aoc) -> None:
    """With --require-head, pending revisions are an error; at head, it changes nothing."""
    below = aoc.json("verify", "--require-head")
    assert aoc("upgrade").exit_code == 0
    above = aoc.json("verify", "--require-head")

    assert (below.exit_code, below.slugs("error")) == (1, ["not-at-head"])
    assert (above.exit_code, above.slugs()) == (0, [])


def test_what_is_promised_below_head_is_judged(first_stage: Database, aoc: Aoc) -> None:
    """A constraint of an applied revision that is gone fails below head as it does at head."""
    first_stage.run("ALTER TABLE advisory_raw DROP CONSTRAINT advisory_raw_keys_v1")

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["missing-constraint"])
    assert "FINDINGS verify concelier: 1 error, 1 warning" in aoc("verify").out


@pytest.mark.parametrize("options", [[], ["--require-head"], ["--probe"]])
def test_nothing_is_promised_at_base(options: list[str], excititor: Database, aoc: Aoc) -> None:
    """A database without a revision promises nothing, so verify has nothing to confirm, and fails."""
    aoc.configure(excititor)

    ran = aoc.json("verify", *options)

    assert (ran.exit_code, ran.slugs("error")) == (1, ["not-at-head"])
    problem = ran.finding("not-at-head")["problem"]
    assert problem.startswith("excititor is at base; head is excititor_0007. It promises nothing yet. Pending: ")
    assert "FINDINGS verify excititor: 1 error" in aoc("verify", *options).out


def test_a_rollback_is_no_failure_of_what_is_left(first_stage: Database, aoc: Aoc) -> None:
    """Held at a revision, verify passes for that revision, and its remedy ends the hold."""
    assert aoc("upgrade").exit_code == 0
    assert aoc("downgrade", "concelier_0004").exit_code == 0

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs()) == (0, ["held", "not-at-head"])
    assert ran.finding("not-at-head")["help"] == "Run: aoc-migrate upgrade concelier --release-hold"


def test_the_evidence_of_the_first_stage_says_what_is_pending(
    concelier: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """The verify report among the evidence is what verify itself says: passed, with the pending revisions."""
    aoc.configure(concelier)

    ran = aoc.json("upgrade", "concelier_0004", "--evidence", str(tmp_path))

    run = only_run(tmp_path)
    kept = json.loads((run / "concelier-verify.json").read_text(encoding="utf-8"))
    assert (ran.exit_code, ran.slugs()) == (0, [])
    assert (kept["ok"], [f["slug"] for f in kept["reports"][0]["findings"]]) == (True, ["not-at-head"])
