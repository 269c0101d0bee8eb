"""Rows that break a rule are repaired from their own envelope or moved, never lost, and come back as they were."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import PINNED, dump

GOOD = {"source": {"vendor": "osv"}, "upstream": {"upstream_id": "CVE-1", "content_hash": "sha256:1"}}
REPAIRED: dict[str, dict[str, Any]] = {
    "vendor": {**GOOD, "source_vendor": " \t"},
    "document": {**GOOD, "upstream_id": None},
    "hash": {**GOOD, "content_hash": ""},
    "forbidden": {"source": {"vendor": "osv", "severity": "canary"}, "content": {"raw": {"severity": 1}}},
    "derived": {"linkset": {"effective_range": "canary"}, "identifiers": {"cve": [], "effective_x": 1}},
    "null": {"identifiers": "null"},
}
MOVED: dict[str, dict[str, Any]] = {
    "tenant": {"tenant": None},
    "vendorless": {"source": {"vendor": " "}, "source_vendor": ""},
    "number": {"upstream": {"upstream_id": 5}, "upstream_id": None},
    "blank then": {"upstream": {"upstream_id": " "}, "upstream_id": None},
    "when": {"retrieved_at": None},
    "list": {"linkset": ["severity"]},
    "text": {"content": '"text"'},
    "long": {"upstream_id": "x" * 2640},
    "too long then": {"upstream_id": None, "upstream": {"upstream_id": "x" * 2640}},
}


def soil(database: Database) -> None:
    """Add a row for each way to break a rule."""
    for n, (id_, values) in enumerate({**REPAIRED, **MOVED}.items()):
        database.add(id_, **({"upstream_id": f"CVE-{n}", "content_hash": f"sha256:{n}"} | values))


def quarantined(database: Database) -> dict[str, bool]:
    """Return the ids in quarantine, and whether each was repaired (else it was moved)."""
    return dict(database.rows(f"SELECT id, quarantine_repaired IS NOT NULL FROM {database.table}_quarantine"))


def test_without_apply_nothing_changes(target_with_chain: Database, aoc: Aoc) -> None:
    """Without --apply it counts by rule and column what would be repaired and moved, and shows no content."""
    soil(target_with_chain)
    before = dump(target_with_chain)

    ran = aoc.json("repair", target_with_chain.target, "--limit", "3")

    facts = ran.report["facts"]
    assert (ran.exit_code, facts["to_repair"], facts["to_move"]) == (0, len(REPAIRED), len(MOVED))
    broken = {(b["rule"], b["column"]): (b["rows"], b["repair"], b["move"]) for b in facts["broken"]}
    assert broken["blank-key", "source_vendor"] == (2, 1, 1)
    assert broken["null-key", "upstream_id"] == broken["missing-required", "upstream_id"] == (4, 1, 3)
    assert broken["derived-key", "identifiers"] == (1, 1, 0)
    assert broken["key-too-long", ""] == (1, 0, 1)
    assert [row["id"] for row in facts["sample"]] == ["blank then", "derived", "document"]
    assert "canary" not in ran.out + ran.err
    assert dump(target_with_chain) == before
    assert target_with_chain.value("SELECT to_regclass(%s)", [f"{target_with_chain.table}_quarantine"]) is None


def test_restore_gives_everything_back(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """After --rule all an upgrade succeeds; after a downgrade --restore gives everything back."""
    target_with_chain.run(f"ALTER TABLE {target_with_chain.table} ADD COLUMN supersedes text")
    soil(target_with_chain)
    before = dump(target_with_chain)

    ran = aoc.json("repair", target_with_chain.target, "--rule", "all", "--apply")

    assert ran.report["next"]["command"] == f"aoc-migrate audit {target_with_chain.target}"

    assert (ran.exit_code, ran.report["facts"]["repaired"], ran.report["facts"]["moved"]) == (0, 6, 9)
    assert quarantined(target_with_chain) == dict.fromkeys(REPAIRED, True) | dict.fromkeys(MOVED, False)
    row = f"SELECT source_vendor, upstream_id, content_hash FROM {target_with_chain.table} WHERE id = %s"
    assert [target_with_chain.rows(row, [id_])[0][n] for n, id_ in enumerate(("vendor", "document", "hash"))] == [
        "osv",
        "CVE-1",
        "sha256:1",
    ]
    assert (
        target_with_chain.value(f"SELECT source::text FROM {target_with_chain.table} WHERE id = 'forbidden'")
        == '{"vendor": "osv"}'
    )
    assert (
        target_with_chain.value(
            f"SELECT content->'raw'->'severity' FROM {target_with_chain.table} WHERE id = 'forbidden'"
        )
        == 1
    )
    assert aoc.json("upgrade", target_with_chain.target, **retrofit).exit_code == 0

    refused = aoc.json("repair", target_with_chain.target, "--restore", "--apply")
    assert (refused.exit_code, refused.slugs("error")) == (1, ["index-in-place", "constraints-in-place"])
    assert (
        f"downgrade {target_with_chain.target} {target_with_chain.target}_0001"
        in refused.finding("constraints-in-place")["help"]
    )
    assert aoc("downgrade", target_with_chain.target, "base").exit_code == 0
    assert aoc.json("repair", target_with_chain.target, "--restore", "--apply").report["facts"]["restored"] == 15
    assert (dump(target_with_chain), quarantined(target_with_chain)) == (before, {})
    assert [run["command"] for run in aoc.json("history", target_with_chain.target).report["facts"]["runs"]][
        ::3
    ] == [
        "repair --restore --run 1 --apply",
        "repair --rule all --apply",
    ]


@pytest.mark.parametrize(
    ("rule", "repaired", "moved"),
    [
        ("blank-key", {"vendor", "hash"}, {"vendorless"}),
        ("null-key", {"document"}, {"tenant", "number", "blank then", "too long then"}),
        ("missing-required", {"document"}, {"tenant", "number", "blank then", "when", "list", "too long then"}),
        ("not-an-object", {"null"}, {"text"}),
        ("forbidden-key", {"forbidden"}, set()),
        ("derived-key", {"derived"}, set()),
        ("key-too-long", set(), {"long"}),
    ],
)
def test_a_rule_repairs_only_its_own_rows(
    rule: str, repaired: set[str], moved: set[str], excititor: Database, aoc: Aoc
) -> None:
    """A rule repairs the rows that break it, repairs nothing else, and its finding is gone from the audit."""
    soil(excititor)
    aoc.configure(excititor)
    assert rule in aoc.json("audit").slugs()

    assert aoc("repair", "excititor", "--rule", rule, "--apply").exit_code == 0

    assert quarantined(excititor) == dict.fromkeys(repaired, True) | dict.fromkeys(moved, False)
    assert rule not in aoc.json("audit").slugs()


def test_links_go_around_what_moves(target_with_chain: Database, aoc: Aoc) -> None:
    """A link to a moved row goes to the previous row that stayed, or to none; --restore sets it back."""
    target_with_chain.run(f"ALTER TABLE {target_with_chain.table} ADD COLUMN supersedes text")
    named = {"a": None, "b": "a", "c": "b", "d": "c", "e": "f", "f": "e", "g": "f", "h": "gone", "i": "h"}
    for id_, link in named.items():
        target_with_chain.add(id_, supersedes=link, tenant=None if id_ in "bcefh" else "t")
    before = dump(target_with_chain)

    assert aoc("repair", target_with_chain.target, "--rule", "null-key", "--apply").exit_code == 0

    links = dict(
        target_with_chain.rows(f"SELECT id, supersedes FROM {target_with_chain.table} WHERE tenant = 't'")
    )
    assert links == {"a": None, "d": "a", "g": None, "i": "gone"}
    assert aoc("repair", target_with_chain.target, "--restore", "--apply").exit_code == 0
    assert dump(target_with_chain) == before


def test_references_and_triggers_stop_it_first(target_with_chain: Database, aoc: Aoc) -> None:
    """Rows that others reference, and triggers that would fire, stop it before anything is done."""
    soil(target_with_chain)
    table, before = target_with_chain.table, dump(target_with_chain)
    target_with_chain.run(
        f"CREATE TABLE notes (about text REFERENCES {table}); INSERT INTO notes VALUES ('tenant'), ('null')"
    )
    for words in ([], ["--rule", "all", "--apply"]):
        refused = aoc.json("repair", target_with_chain.target, *words)
        assert (refused.exit_code, refused.slugs("error")) == (1, ["move-referenced"])
        assert refused.finding("move-referenced")["rows"] == 1
    target_with_chain.run("DELETE FROM notes WHERE about = 'tenant'")
    target_with_chain.run(
        f"CREATE FUNCTION feed() {PINNED} 'BEGIN RETURN NEW; END'; "
        f"CREATE TRIGGER feeding BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION feed()"
    )
    refused = aoc.json("repair", target_with_chain.target, "--rule", "all", "--apply")
    assert (refused.slugs("error"), dump(target_with_chain)) == (["move-trigger"], before)

    accepting = ("--rule", "all", "--apply", "--accept", "move-trigger:feeding")
    assert aoc("repair", target_with_chain.target, *accepting).exit_code == 0


def test_restore_overwrites_no_later_change(excititor: Database, aoc: Aoc) -> None:
    """A repaired row that others changed in what was repaired is not overwritten; a change elsewhere stays."""
    soil(excititor)
    before = dump(excititor)
    aoc.configure(excititor)
    assert aoc("repair", "excititor", "--rule", "all", "--apply").exit_code == 0
    excititor.run("UPDATE vex_raw SET source_vendor = 'redhat', linkset = '{\"aliases\": []}' WHERE id = 'vendor'")
    between = dump(excititor)

    refused = aoc.json("repair", "excititor", "--restore", "--apply")
    assert (refused.exit_code, refused.slugs("error"), dump(excititor)) == (1, ["changed-since"], between)

    excititor.run("UPDATE vex_raw SET source_vendor = 'osv' WHERE id = 'vendor'")
    assert aoc("repair", "excititor", "--restore", "--apply").exit_code == 0
    excititor.run("UPDATE vex_raw SET linkset = '{}' WHERE id = 'vendor'")
    assert dump(excititor) == before


def test_runs_are_restored_latest_first(excititor: Database, aoc: Aoc) -> None:
    """A row that was repaired and then moved goes back in two steps; the finding says which comes first."""
    for id_ in "ab":
        excititor.add(id_, **GOOD, content_hash="" if id_ == "b" else "sha256:1", upstream_id="CVE-1")
    before = dump(excititor)
    aoc.configure(excititor)
    assert aoc("repair", "excititor", "--rule", "blank-key", "--apply").exit_code == 0
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    assert excititor.rows("SELECT id FROM vex_raw") == [("a",)]

    refused = aoc.json("repair", "excititor", "--restore", "--run", "1")
    assert refused.slugs("error") == ["newer-run-first"]
    assert (
        refused.finding("newer-run-first")["help"]
        == "Run first: aoc-migrate dedupe excititor --restore --run 2 --apply"
    )
    assert aoc("dedupe", "excititor", "--restore", "--run", "2", "--apply").exit_code == 0
    assert aoc("repair", "excititor", "--restore", "--run", "1", "--apply").exit_code == 0
    assert dump(excititor) == before


def test_wrong_usage_is_refused(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """Options that exclude each other and unknown rules are refused; a change needs rules and one target."""
    aoc.configure(concelier, excititor)

    for words in (["--rule", "all", "--apply"], ["concelier", "--apply"], ["concelier", "--rule", "x"]):
        assert aoc("repair", *words).exit_code == 2
    for words in (["--restore", "--rule", "all"], ["--run", "1"], ["--restore"], ["--restore", "--apply"]):
        assert aoc("repair", "concelier", *words).exit_code == 2
    assert "duplicate-key" in aoc("repair", "concelier", "--rule", "duplicate-key").err
    assert aoc("repair").exit_code == 0
