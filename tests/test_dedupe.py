"""Duplicates move into quarantine and back: nothing is lost or touched by mistake, and a killed run can resume."""

import os
import signal
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED, restore_all, wait_until

ROWS = "SELECT to_jsonb(t)::text FROM {} AS t ORDER BY id"


def rows(database: Database) -> list[Any]:
    """Return every row of the raw table, whole."""
    return database.rows(ROWS.format(database.table))


def quarantined(database: Database) -> list[str]:
    """Return the ids in quarantine."""
    if database.value("SELECT to_regclass(%s)", [f"{database.table}_quarantine"]) is None:
        return []
    return [id_ for (id_,) in database.rows(f"SELECT id FROM {database.table}_quarantine ORDER BY id")]


def chain(database: Database) -> None:
    """Add A, B, A again, C and B again of one document, linked in that order, and a row of another."""
    database.run(f"ALTER TABLE {database.table} ADD COLUMN IF NOT EXISTS supersedes text")
    for n, content in enumerate("ABACB"):
        before = f"{n - 1}{'ABACB'[n - 1]}" if n else None
        time = f"2025-02-0{n + 1}T00:00:00Z"
        database.add(f"{n}{content}", upstream_id="X", content_hash=content, retrieved_at=time, supersedes=before)
    database.add("other", upstream_id="Y", content_hash="A")
    database.run(f"ALTER TABLE {database.table} ADD big text GENERATED ALWAYS AS (upper(upstream_id)) STORED")
    database.run(f'ALTER TABLE {database.table} ADD "odd, name" int GENERATED ALWAYS AS IDENTITY')
    database.run(f"ALTER TABLE {database.table} ADD kept text, ADD links text")  # names that we use too


@pytest.fixture
def duplicated(target_with_chain: Database) -> Database:
    """Each target with a chain in which two documents were stored twice."""
    chain(target_with_chain)
    return target_with_chain


def test_without_apply_nothing_changes(duplicated: Database, aoc: Aoc) -> None:
    """Without --apply it shows what stays, what moves, and what refers to the moved rows."""
    before = rows(duplicated)

    ran = aoc.json("dedupe", duplicated.target)

    facts = ran.report["facts"]
    assert (ran.exit_code, facts["groups"], facts["surplus"]) == (0, 2, 2)
    assert [(d["stays"], d["rows"], d["moves"], d["links"]) for d in facts["duplicates"]] == [
        ("0A", 1, ["2A"], 1),
        ("1B", 1, ["4B"], 0),
    ]
    assert (rows(duplicated), quarantined(duplicated)) == (before, [])


def test_a_large_group_is_shown_in_part(excititor: Database, aoc: Aoc) -> None:
    """For a group with many surplus rows, the report has their number and the first twenty ids."""
    for n in range(25):
        excititor.add(f"{n:02}", content_hash="h")
    aoc.configure(excititor)

    (group,) = aoc.json("dedupe").report["facts"]["duplicates"]

    assert (group["rows"], group["moves"]) == (24, [f"{n:02}" for n in range(1, 21)])


@pytest.mark.alike
@pytest.mark.parametrize(("keep", "gone"), [("earliest", ["2A", "4B"]), ("latest", ["0A", "1B"])])
def test_restore_returns_the_identical_table(duplicated: Database, aoc: Aoc, keep: str, gone: list[str]) -> None:
    """The choice in `next` moves what was shown, without dangling links; --restore gives back the same table."""
    before = rows(duplicated)

    (choice,) = aoc.json("dedupe", duplicated.target, "--keep", keep).report["next"]["choices"]
    ran = aoc.json(*choice.split()[1:])

    assert (ran.exit_code, ran.report["facts"]["moved"]) == (0, 2)
    assert quarantined(duplicated) == gone
    assert "duplicate-key" not in aoc.json("audit", duplicated.target).slugs()
    table = duplicated.table
    assert not duplicated.rows(
        f"SELECT FROM {table} WHERE supersedes = id OR supersedes NOT IN (SELECT id FROM {table})"
    )
    listed = aoc.json("quarantine", duplicated.target).report["facts"]
    assert (listed["rows"], [row["id"] for row in listed["sample"]]) == (2, gone)

    back = aoc.json("dedupe", duplicated.target, "--restore", "--apply")

    assert (back.exit_code, back.report["facts"]["restored"]) == (0, 2)
    assert (rows(duplicated), quarantined(duplicated)) == (before, [])


def test_each_run_can_be_restored_alone(duplicated: Database, aoc: Aoc) -> None:
    """Each run is restored by its number, and together they give back the table."""
    before = rows(duplicated)
    first = aoc.json("dedupe", duplicated.target, "--apply").report["run"]
    between = rows(duplicated)
    duplicated.add("new", upstream_id="X", content_hash="A", retrieved_at="2025-03-01T00:00:00Z", supersedes="3C")
    grown = rows(duplicated)
    second = aoc.json("dedupe", duplicated.target, "--apply").report["run"]
    assert rows(duplicated) == between

    assert aoc("dedupe", duplicated.target, "--restore", "--run", str(second), "--apply").exit_code == 0
    assert rows(duplicated) == grown
    duplicated.run(f"DELETE FROM {duplicated.table} WHERE id = 'new'")
    assert aoc("dedupe", duplicated.target, "--restore", "--run", str(first), "--apply").exit_code == 0
    assert rows(duplicated) == before
    assert aoc("dedupe", duplicated.target, "--restore", "--run", "99").exit_code == 2


@pytest.mark.alike
def test_an_upgrade_after_it_blocks_the_restore(duplicated: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After `dedupe` an upgrade succeeds; then --restore is refused until the index is gone."""
    before = rows(duplicated)
    assert aoc("dedupe", duplicated.target, "--apply").exit_code == 0
    assert aoc("upgrade", duplicated.target, **retrofit).exit_code == 0
    assert aoc.json("verify", duplicated.target).slugs("error") == []

    refused = aoc.json("dedupe", duplicated.target, "--restore", "--apply")
    assert (refused.exit_code, refused.slugs("error")) == (1, ["index-in-place"])
    assert aoc("downgrade", duplicated.target, "base").exit_code == 0
    assert aoc("dedupe", duplicated.target, "--restore", "--apply").exit_code == 0
    assert rows(duplicated) == before


def test_different_rows_stay(duplicated: Database, aoc: Aoc) -> None:
    """Groups whose rows differ in more than the time of retrieval are listed and stay, unless requested."""
    duplicated.run(
        f'UPDATE {duplicated.table} SET linkset = \'{{"aliases": ["canary"]}}\', '
        "upstream = '{\"fetched_at\": \"later\"}' WHERE id = '2A'"
    )

    ran = aoc.json("dedupe", duplicated.target, "--apply")
    assert (ran.exit_code, ran.slugs("error")) == (1, ["duplicates-differ"])
    assert [d["differs"] for d in ran.report["facts"]["duplicates"]] == ["linkset", ""]
    assert "canary" not in ran.out + ran.err
    assert quarantined(duplicated) == ["4B"]
    assert duplicated.rows(ran.finding("duplicates-differ")["statement"]) == [("2A", "0A", "linkset")]

    assert aoc("dedupe", duplicated.target, "--apply", "--include-different").exit_code == 0
    assert quarantined(duplicated) == ["2A", "4B"]


def test_foreign_keys_and_triggers_stop_it_first(duplicated: Database, aoc: Aoc) -> None:
    """A row that another table references, or whose move would fire a trigger, stops it before anything moves."""
    table, before = duplicated.table, rows(duplicated)
    duplicated.run(f"CREATE TABLE notes (about text REFERENCES {table}); INSERT INTO notes VALUES ('4B')")
    refused = aoc.json("dedupe", duplicated.target, "--apply")
    assert refused.slugs("error") == ["move-referenced"]
    duplicated.run("TRUNCATE notes")
    duplicated.run(
        f"CREATE FUNCTION feed() {PINNED} 'BEGIN RETURN OLD; END'; "
        f"CREATE TRIGGER feeding BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION feed()"
    )
    assert aoc.json("dedupe", duplicated.target, "--apply").slugs("error") == ["move-trigger"]
    assert rows(duplicated) == before

    assert aoc("dedupe", duplicated.target, "--apply", "--accept", "move-trigger:feeding").exit_code == 0


def test_somebody_elses_quarantine_is_left_alone(duplicated: Database, aoc: Aoc) -> None:
    """A foreign table of that name is left alone, and nothing moves."""
    duplicated.run(f"CREATE TABLE {duplicated.table}_quarantine (id text)")

    ran = aoc.json("dedupe", duplicated.target, "--apply")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["foreign-object"])
    assert duplicated.value(f"SELECT count(*) FROM {duplicated.table}") == 9
    assert aoc("quarantine", duplicated.target).exit_code == 1


def test_only_the_owner_may_read_the_quarantine(duplicated: Database, aoc: Aoc) -> None:
    """Whatever default privileges grant, only the owner can read the quarantine."""
    duplicated.run("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC")

    assert aoc("dedupe", duplicated.target, "--apply").exit_code == 0

    granted = "SELECT a.grantee <> c.relowner FROM pg_class c, aclexplode(c.relacl) a WHERE relname = %s"
    assert not any(other for (other,) in duplicated.rows(granted, [f"{duplicated.table}_quarantine"]))


def test_a_killed_run_goes_on(excititor: Database, aoc: Aoc) -> None:
    """After a kill between batches, the same command moves the rest, and --restore gives back the table."""
    excititor.run("ALTER TABLE vex_raw ADD COLUMN supersedes text")
    excititor.run(
        "INSERT INTO vex_raw (id, tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, "
        "upstream, linkset, created_at) SELECT 'r' || n, 't', 'v', 'CVE-' || n % 9000, 'h', "
        "now() + n * interval '1 s', '{}', '{}', '{}', '2025-01-01' FROM generate_series(1, 27000) AS n"
    )
    aoc.configure(excititor)
    before = rows(excititor)
    process = aoc.start("dedupe", "excititor", "--apply")
    wait_until(lambda: len(quarantined(excititor)) >= 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    both = "SELECT (SELECT count(*) FROM vex_raw) + (SELECT count(*) FROM vex_raw_quarantine)"
    assert excititor.value(both) == 27_000
    assert len(quarantined(excititor)) < 18_000, "the kill came too late to prove anything"

    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    assert (excititor.value("SELECT count(*) FROM vex_raw"), len(quarantined(excititor))) == (9000, 18_000)
    assert excititor.value("SELECT to_regclass('aoc_dedupe_list')") is None
    restore_all(excititor, aoc)
    assert rows(excititor) == before


def test_wrong_usage_is_refused(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """Options that exclude each other are refused, and a change needs one target."""
    aoc.configure(concelier, excititor)

    for words in (["--apply"], ["concelier", "--restore", "--keep", "latest"], ["concelier", "--restore"]):
        assert aoc("dedupe", *words).exit_code == 2
    for words in (["--run", "1"], ["--apply", "--run", "1"]):
        assert aoc("dedupe", "concelier", *words).err.splitlines()[-1] == "Error: --run needs --restore."
    assert aoc("dedupe").exit_code == 0
