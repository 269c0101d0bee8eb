"""Upgrade as an operator sees it: gates, holds, fresh databases, several targets."""

from operator import itemgetter

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED

HEADS = {"concelier": "concelier_0008", "excititor": "excititor_0007"}


def links(database: Database) -> list[tuple[str, str | None]]:
    """Return (id, supersedes) of every row."""
    return database.rows(f"SELECT id, supersedes FROM {database.table} ORDER BY id")


def test_upgrade_reaches_head_and_then_has_nothing_to_do(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Upgrade ends at head with every row linked; run again it finds nothing to do."""
    first, second = aoc.json("upgrade", **retrofit), aoc.json("upgrade")

    assert (first.exit_code, first.report["revision"]) == (0, HEADS[target_with_chain.target])
    assert first.report["changed"] is True
    assert links(target_with_chain) == [("0", None), ("1", "0"), ("2", "1")]
    assert (second.exit_code, second.report["changed"], second.report["steps"]) == (0, False, [])
    assert aoc("verify", "--probe").exit_code == 0


def test_rows_without_links_need_the_flag(target_with_chain: Database, aoc: Aoc) -> None:
    """Where rows need a link, upgrade needs the flag, and without it changes nothing."""
    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["retrofit-not-allowed"])
    assert ran.finding("retrofit-not-allowed")["rows"] == 2
    assert (ran.report["revision"], ran.report["changed"]) == (None, False)
    assert target_with_chain.value("SELECT to_regclass('aoc_migration_state')") is None


def test_constraints_do_not_need_the_flag(target_with_chain: Database, aoc: Aoc) -> None:
    """Up to 0004 the retrofit flag is not asked for, because nothing is linked there."""
    ran = aoc.json("upgrade", f"{target_with_chain.target}_0004")

    assert (ran.exit_code, ran.report["revision"]) == (0, f"{target_with_chain.target}_0004")


def test_single_revisions_do_not_need_the_flag(target_with_chain: Database, aoc: Aoc) -> None:
    """Where every document has one revision, the flag is not needed."""
    target_with_chain.run(f"DELETE FROM {target_with_chain.table} WHERE id <> '0'")

    assert aoc("upgrade").exit_code == 0


def test_a_finding_changes_nothing(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """An error finding of the audit stops the upgrade before the first step."""
    target_with_chain.add("bad", source={"severity": "high"}, upstream_id="other")

    ran = aoc.json("upgrade", **retrofit)

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["forbidden-key"], False)
    assert target_with_chain.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_v1'") == 0


def test_a_fresh_database_gets_a_guarded_table(empty_database: Database, aoc: Aoc) -> None:
    """On a fresh database the raw table is created, empty and guarded, and verify is clean."""
    aoc.configure(empty_database)

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.report["revision"]) == (0, "concelier_0008")
    assert sorted(ran.slugs()) == ["swap-not-applicable", "table-created"]
    assert aoc("verify", "--probe").exit_code == 0
    with pytest.raises(Exception, match="advisory_raw_objects_v1"):
        empty_database.add("x", source={"cvss": 1})


def test_an_upgrade_respects_the_hold_of_a_downgrade(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """After `downgrade -1` a plain upgrade changes nothing, says why, and exits 0; --release-hold goes on."""
    aoc("upgrade", **retrofit)
    down = aoc.json("downgrade", "-1")
    removes_a_guard = target_with_chain.target == "excititor"  # concelier's last revision is the view swap
    assert (down.exit_code, down.slugs()) == (0, ["guard-still-on"] * removes_a_guard + ["held"])

    restarts = [aoc.json("upgrade") for _ in range(2)]

    assert [(r.exit_code, r.slugs(), r.report["changed"]) for r in restarts] == [(0, ["held"], False)] * 2
    assert "held" in aoc.json("status").slugs()
    assert {"held", "not-at-head"} <= set(aoc.json("verify").slugs())
    released = aoc.json("upgrade", "--release-hold", **retrofit)
    assert (released.exit_code, released.report["revision"]) == (0, HEADS[target_with_chain.target])
    assert aoc("verify").exit_code == 0


def test_a_guard_that_is_off_warns_of_nothing(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """With AOC_GUARD_ENABLED=false a rollback gives no warning."""
    aoc("upgrade", **retrofit)

    assert aoc.json("downgrade", "-1", AOC_GUARD_ENABLED="false").slugs() == ["held"]


@pytest.mark.alike
def test_release_hold_restores_removed_constraints(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """`constraints --remove` lets bad rows in again and holds; --release-hold puts everything back."""
    aoc("upgrade", **retrofit)
    kept = ("applied", "pending", "backfill", "journal", "rules", "indexes")
    before = itemgetter(*kept)(aoc.json("status").report["facts"])

    removed = aoc.json("constraints", "--remove")

    assert (removed.exit_code, removed.report["revision"]) == (0, HEADS[target_with_chain.target])
    target_with_chain.add("bad", tenant=None, source={"cvss": 1})
    assert aoc.json("upgrade").slugs() == ["held"]
    again = aoc.json("constraints", "--remove")
    assert (again.exit_code, again.report["steps"]) == (0, [])
    refused = aoc.json("upgrade", "--release-hold")
    assert (refused.exit_code, refused.report["changed"]) == (1, False)
    target_with_chain.run(f"DELETE FROM {target_with_chain.table} WHERE id = 'bad'")
    assert aoc("upgrade", "--release-hold").exit_code == 0
    assert itemgetter(*kept)(aoc.json("status").report["facts"]) == before
    assert aoc("verify", "--probe").exit_code == 0


def test_an_update_trigger_must_be_accepted(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A trigger that the backfill would fire stops the upgrade, unless it is accepted."""
    target_with_chain.run(f"CREATE FUNCTION noted() {PINNED} 'BEGIN RETURN NEW; END'")
    target_with_chain.run(
        f"CREATE TRIGGER note BEFORE UPDATE ON {target_with_chain.table} FOR EACH ROW EXECUTE FUNCTION noted()"
    )

    refused = aoc.json("upgrade", **retrofit)

    assert (refused.exit_code, refused.slugs("error")) == (1, ["update-trigger"])
    assert aoc("upgrade", "--accept", "update-trigger:note", **retrofit).exit_code == 0


def test_output_writes_the_report_to_the_file_alone(
    target_with_chain: Database, aoc: Aoc, tmp_path: object
) -> None:
    """--output writes the report to the file and nothing to stdout."""
    path = f"{tmp_path}/report.json"

    ran = aoc.json("audit", "--output", path)

    assert ran.out == ""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        assert '"schema": 3' in file.read()


def test_a_flag_left_on_is_a_warning(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After the cut-over, verify warns that the retrofit flag is still on, and stays at exit 0."""
    aoc("upgrade", **retrofit)

    ran = aoc.json("verify", **retrofit)

    assert (ran.exit_code, ran.slugs()) == (0, ["retrofit-still-allowed"])
