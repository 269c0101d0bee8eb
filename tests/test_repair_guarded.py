"""Existing constraints: what they would refuse is reported before anything is done, with what to type."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import dump

GOOD = {"source": {"vendor": "osv"}, "upstream": {"upstream_id": "CVE-1", "content_hash": "sha256:1"}}


@pytest.fixture
def dirty_guarded_chain(excititor: Database, aoc: Aoc) -> Database:
    """A chain a <- b <- c <- d with dirty rows b and c, and a CHECK of the operator's own."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor", "excititor_0001").exit_code == 0
    dirt: dict[str, dict[str, Any]] = {
        "b": {"source_vendor": "", "linkset": {"effective_x": 1}},
        "c": {"tenant": None, "source_vendor": "", "source": {}},
    }
    for n, id_ in enumerate("abcd"):
        link = "abcd"[n - 1] if n else None
        excititor.add(
            id_, **(GOOD | {"upstream_id": "CVE-1", "content_hash": f"h{n}"} | dirt.get(id_, {})), supersedes=link
        )
    before = (
        "ALTER TABLE vex_raw ADD CONSTRAINT mine CHECK (id NOT LIKE '%%x%' AND octet_length(id) < 9) NOT VALID"
    )
    excititor.run(before)
    return excititor


def to_guards(database: Database) -> None:
    """Put the guards of the second revision in by hand, as stock Alembic does: without an audit."""
    from aoc_migrate.contract.v1 import VEX_RAW

    checks = [*VEX_RAW.row_checks(), VEX_RAW.required_check()]
    for check in checks:
        database.run(
            f"ALTER TABLE vex_raw ADD CONSTRAINT {check.name} CHECK ({check.predicate}) NOT VALID".encode()
        )


def test_one_rule_is_not_enough(dirty_guarded_chain: Database, aoc: Aoc) -> None:
    """A row that breaks two guarded rules cannot be repaired by one; by all it is, and it goes back."""
    before = dump(dirty_guarded_chain)
    to_guards(dirty_guarded_chain)
    for words in ([], ["--apply"]):
        refused = aoc.json("repair", "excititor", "--rule", "blank-key", *words)
        assert (refused.exit_code, refused.slugs("error")) == (1, ["constraint-refuses"])
        assert "aoc-migrate repair excititor --rule all" in refused.finding("constraint-refuses")["help"]
    assert dump(dirty_guarded_chain) == before

    assert aoc("repair", "excititor", "--rule", "all", "--apply").exit_code == 0
    links = dict(dirty_guarded_chain.rows("SELECT id, supersedes FROM vex_raw"))
    assert links == {"a": None, "b": "a", "d": "b"}

    refused = aoc.json("repair", "excititor", "--restore", "--apply")
    assert (refused.slugs("error"), refused.finding("constraints-in-place")["rows"]) == (
        ["constraints-in-place"],
        2,
    )
    dirty_guarded_chain.run(
        "ALTER TABLE vex_raw " + ", ".join(f"DROP CONSTRAINT {name}" for name in checks(dirty_guarded_chain))
    )
    assert aoc("repair", "excititor", "--restore", "--apply").exit_code == 0
    assert dump(dirty_guarded_chain) == before


def checks(database: Database) -> list[str]:
    """Return the CHECKs of the raw table that the contract names."""
    return [
        name
        for (name,) in database.rows(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass AND contype = 'c' "
            "AND conname LIKE 'vex_raw%'"
        )
    ]


def test_a_dirty_row_that_names_a_duplicate_stops_dedupe(dirty_guarded_chain: Database, aoc: Aoc) -> None:
    """A duplicate that a row names which cannot be written stops `dedupe`; it goes once the row is repaired."""
    dirty_guarded_chain.run(
        "UPDATE vex_raw SET content_hash = 'h0', retrieved_at = '2025-03-01' WHERE id IN ('d', 'a')"
    )
    dirty_guarded_chain.run("UPDATE vex_raw SET supersedes = 'd' WHERE id = 'b'")
    to_guards(dirty_guarded_chain)
    before = dump(dirty_guarded_chain)

    refused = aoc.json("dedupe", "excititor", "--apply", "--include-different")
    assert (refused.exit_code, refused.slugs("error")) == (1, ["constraint-refuses"])
    assert (dump(dirty_guarded_chain), dirty_guarded_chain.value("SELECT to_regclass('aoc_work_list')")) == (
        before,
        None,
    )
    (run, *_) = aoc.json("history", "excititor").report["facts"]["runs"]
    assert (run["command"].split()[0], run["outcome"], run["findings"]) == (
        "dedupe",
        "refused",
        ["constraint-refuses"],
    )

    assert aoc("repair", "excititor", "--rule", "all", "--apply").exit_code == 0
    assert aoc("dedupe", "excititor", "--apply", "--include-different").exit_code == 0
    assert dict(dirty_guarded_chain.rows("SELECT id, supersedes FROM vex_raw")) == {"a": None, "b": "a"}


def test_a_repair_into_another_rows_key_is_refused(
    excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """While the unique index exists, no row is repaired into the key of another; without it `dedupe` finds it."""
    excititor.add("a", **GOOD, upstream_id="CVE-1", content_hash="sha256:1")
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    drops = ", ".join(f"DROP CONSTRAINT {name}" for name in checks(excititor))
    excititor.run(f"ALTER TABLE vex_raw {drops}, ALTER upstream_id DROP NOT NULL")
    excititor.add("b", **GOOD, upstream_id=None, content_hash="sha256:1", retrieved_at="2025-03-01")
    before = dump(excititor)

    refused = aoc.json("repair", "--rule", "null-key", "--apply")
    assert (refused.exit_code, refused.slugs("error"), dump(excititor)) == (1, ["repairs-collide"], before)
    assert "excititor_0003" in refused.finding("repairs-collide")["help"]

    assert aoc("downgrade", "excititor_0003").exit_code == 0
    assert aoc("repair", "--rule", "null-key", "--apply").exit_code == 0
    assert aoc.json("dedupe", "--apply").report["facts"]["moved"] == 1
    assert excititor.rows("SELECT id FROM vex_raw") == [("a",)]
