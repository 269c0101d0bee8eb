"""The supersedes chain: each kind of wrong link is named, repaired on request, and set back by a downgrade."""

from typing import Any

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once

ALLOWED = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
GOOD: dict[str, str | None] = {"a0": None, "b0": None, "other": None}
GOOD |= {f"{chain}{n}": f"{chain}{n - 1}" for chain, last in (("a", 4), ("b", 2)) for n in range(1, last + 1)}


@pytest.fixture(params=["concelier", "excititor"])
def chains_at_head(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target in turn, at head: chain a0 to a4, chain b0 to b2, and one document of another tenant."""
    database: Database = request.getfixturevalue(request.param)
    aoc.configure(database)

    def make() -> None:
        for chain, length in (("a", 5), ("b", 3)):
            for n in range(length):
                database.add(f"{chain}{n}", upstream_id=chain, retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
        database.add("other", tenant="acme", upstream_id="a")
        assert aoc("upgrade", **ALLOWED).exit_code == 0

    made_once(request, database, make)
    return database


def links(database: Database) -> dict[str, str | None]:
    """Return id and link of every row."""
    return dict(database.rows(f"SELECT id, supersedes FROM {database.table}"))


def set_links(database: Database, wanted: dict[str, str | None]) -> None:
    """Set links by hand."""
    for id_, link in wanted.items():
        database.run(f"UPDATE {database.table} SET supersedes = %s WHERE id = %s", [link, id_])


def kinds(finding: Any) -> dict[str, str]:
    """Return id and kind of every row in a finding's sample."""
    return {row["id"]: row["kind"] for row in finding["sample"]}


BROKEN: dict[str, tuple[dict[str, str | None], dict[str, str]]] = {
    "dangling": ({"a2": "nowhere"}, {"a2": "dangling"}),
    "dangling and empty": ({"a2": ""}, {"a2": "dangling"}),
    "another document's": ({"a2": "b1"}, {"a2": "cross-group"}),
    "another tenant's": ({"a2": "other"}, {"a2": "cross-group"}),
    "first of another document": ({"b0": "a4"}, {"b0": "cross-group"}),
    "cycle": ({"a1": "a3"}, {"a1": "cycle"}),
    "cycle of all": ({"a0": "a4"}, {"a0": "cycle"}),
    "cycle of one": ({"a2": "a2"}, {"a2": "cycle"}),
    "fork": ({"a3": "a1"}, {"a3": "fork"}),
    "out of order": ({"a2": "a0", "a1": "a2", "a3": "a1"}, dict.fromkeys(["a1", "a2", "a3"], "out of order")),
    "missing link": ({"a4": None}, {"a4": "missing link"}),
    "false head": ({"a2": None}, {"a2": "false head"}),
    "several": (
        {"a1": "a3", "a4": "nowhere", "b2": None, "b1": "a0", "other": "a0"},
        {"a1": "cycle", "a4": "dangling", "b2": "missing link", "b1": "cross-group", "other": "cross-group"},
    ),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", BROKEN)
def test_each_kind_of_wrong_link_is_named_and_repaired(case: str, chains_at_head: Database, aoc: Aoc) -> None:
    """verify names each kind of wrong link as an error; --apply repairs it."""
    by_hand, expected = BROKEN[case]
    set_links(chains_at_head, by_hand)

    verified = aoc.json("verify")

    assert (verified.exit_code, verified.slugs()) == (1, ["chain-broken"])
    finding = verified.finding("chain-broken")
    assert kinds(finding) == expected
    assert finding["count"] == finding["rows"] == len(expected)
    assert all(f"{kind} {list(expected.values()).count(kind)}" in finding["problem"] for kind in expected.values())
    assert {row[0] for row in chains_at_head.rows(finding["statement"])} == set(expected)
    applied = aoc.json("chain", "--apply", **ALLOWED)
    assert (applied.exit_code, applied.slugs(), applied.report["facts"]["relinked"]) == (0, [], len(expected))
    assert links(chains_at_head) == GOOD


def late(database: Database, link: str | None) -> None:
    """Store a revision of document a between a1 and a2, as a service does that fetched it late."""
    database.add("late", upstream_id="a", retrieved_at="2025-01-02T12:00:00Z", supersedes=link)


@pytest.mark.parametrize("link", ["a4", None], ids=["linked to the newest", "not linked"])
def test_late_rows_are_a_warning(link: str | None, chains_at_head: Database, aoc: Aoc) -> None:
    """A revision stored late is the warning chain-late, at exit 0, until `chain --apply` links it."""
    late(chains_at_head, link)

    verified, shown = aoc.json("verify"), aoc.json("chain")

    assert (verified.exit_code, verified.slugs()) == (0, ["chain-late"])
    assert set(kinds(verified.finding("chain-late"))) == {"late", "a2"}
    assert (shown.exit_code, shown.slugs(), shown.report["changed"]) == (0, ["chain-late"], False)
    choices = [f"AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate chain {chains_at_head.target} --apply"]
    assert (shown.report["next"]["command"], shown.report["next"]["choices"]) == ("", choices)
    applied = aoc.json("chain", "--apply", **ALLOWED)
    assert (applied.exit_code, applied.slugs(), applied.report["changed"]) == (0, [], True)
    assert links(chains_at_head) == GOOD | {"late": "a1", "a2": "late"}


def test_a_late_revision_excuses_no_wrong_link(chains_at_head: Database, aoc: Aoc) -> None:
    """A late revision does not excuse wrong links elsewhere, nor a fork in its own document."""
    late(chains_at_head, "a1")
    set_links(chains_at_head, {"b2": None})

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs()) == (1, ["chain-broken"])
    assert kinds(ran.finding("chain-broken")) == {"a2": "fork", "b2": "missing link"}


@pytest.mark.parametrize(("broken", "kind"), [({"a4": None}, "missing link"), ({"a3": None}, "false head")])
def test_a_late_revision_that_is_linked_excuses_nothing(
    broken: dict[str, str | None], kind: str, chains_at_head: Database, aoc: Aoc
) -> None:
    """Once a late revision is linked, a wrong link further on in its document is an error again."""
    late(chains_at_head, None)
    assert aoc("chain", "--apply", **ALLOWED).exit_code == 0
    set_links(chains_at_head, broken)

    for words in (("verify",), ("verify", "--since", "1h"), ("chain",)):
        ran = aoc.json(*words)
        assert (ran.exit_code, ran.slugs("error")) == (1, ["chain-broken"])
        assert kinds(ran.finding("chain-broken")) == {next(iter(broken)): kind}


def test_a_new_row_without_its_link_is_broken(chains_at_head: Database, aoc: Aoc) -> None:
    """A new revision at the end of its chain without its link is an error."""
    chains_at_head.add("a5", upstream_id="a", retrieved_at="2025-01-06T00:00:00Z")

    assert kinds(aoc.json("verify").finding("chain-broken")) == {"a5": "missing link"}


def test_without_created_at_nothing_is_excused(chains_at_head: Database, aoc: Aoc) -> None:
    """If no column says when a row was stored, no revision counts as late: each is an error."""
    chains_at_head.run(f"ALTER TABLE {chains_at_head.table} DROP created_at")
    late(chains_at_head, "a4")

    assert aoc.json("verify").slugs() == ["chain-broken"]


def test_apply_needs_the_flag(chains_at_head: Database, aoc: Aoc) -> None:
    """`chain` only reads; `chain --apply` without the flag is refused, and nothing is changed."""
    broken = {"a2": "b1", "a4": None}
    set_links(chains_at_head, broken)

    shown, refused = aoc.json("chain"), aoc.json("chain", "--apply")

    assert (shown.exit_code, shown.slugs(), shown.report["changed"]) == (1, ["chain-broken"], False)
    assert (refused.exit_code, refused.slugs("error"), refused.report["changed"]) == (
        1,
        ["retrofit-not-allowed"],
        False,
    )
    assert links(chains_at_head) == GOOD | broken


def test_apply_with_nothing_to_do_needs_no_flag(chains_at_head: Database, aoc: Aoc) -> None:
    """If every link is right, --apply needs no flag and changes nothing."""
    ran = aoc.json("chain", "--apply")

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (0, [], False)
    assert ran.report["facts"]["relinked"] == 0


def test_apply_is_journaled(chains_at_head: Database, aoc: Aoc) -> None:
    """What --apply replaced is in the journal, and the downgrade of the backfill takes both back."""
    before = aoc.json("chain", "--drop-journal").report["facts"]
    late(chains_at_head, "a4")
    assert aoc("chain", "--apply", **ALLOWED).exit_code == 0

    after = aoc.json("chain", "--drop-journal").report["facts"]
    down = aoc.json("downgrade", f"{chains_at_head.target}_0005")

    assert (before, after) == ({"batches": 1, "links": 6}, {"batches": 2, "links": 8})
    assert (down.exit_code, down.slugs("error"), down.slugs("warning")) == (0, [], ["guard-still-on"])
    assert links(chains_at_head) == dict.fromkeys(GOOD) | {"late": "a4"}
    assert aoc("upgrade", "--release-hold", **ALLOWED).exit_code == 0
    assert links(chains_at_head) == GOOD | {"late": "a1", "a2": "late"}


def test_a_downgrade_leaves_links_that_others_set(chains_at_head: Database, aoc: Aoc) -> None:
    """The downgrade leaves links that others set since the backfill, and reports these rows."""
    set_links(chains_at_head, {"a3": "a0", "b1": None})

    ran = aoc.json("downgrade", f"{chains_at_head.target}_0005")

    finding = ran.finding("rows-changed-since")
    assert (ran.exit_code, finding["severity"], finding["count"], finding["rows"]) == (0, "warning", 2, 2)
    assert finding["sample"] == [{"id": "a3"}, {"id": "b1"}]
    assert links(chains_at_head) == dict.fromkeys(GOOD) | {"a3": "a0"}


def test_a_stopped_downgrade_reports_what_it_left(chains_at_head: Database, aoc: Aoc) -> None:
    """If a downgrade stops after it set links back, the rows that it left are a finding and in no step."""
    set_links(chains_at_head, {"a3": "a0"})
    with psycopg.connect(chains_at_head.url) as reader:
        reader.execute("SELECT FROM aoc_supersedes_journal")
        ran = aoc.json("downgrade", f"{chains_at_head.target}_0005", "--deadline", "1s")

    assert (ran.exit_code, ran.slugs("error")) == (3, ["deadline"])
    assert ran.finding("rows-changed-since")["sample"] == [{"id": "a3"}]
    assert [step["kept"] for step in ran.report["steps"] if "kept" in step] == [1]
