"""`chain --drop-journal`: from then on, a downgrade of the backfill leaves the links as they are."""

from aoc_migrate.run import hold
from tests.conftest import Aoc, Database
from tests.test_chain import GOOD, chains_at_head, links
from tests.test_scans import session_of

__all__ = ["chains_at_head"]


def test_a_dropped_journal_makes_links_permanent(chains_at_head: Database, aoc: Aoc) -> None:
    """`chain --drop-journal --apply` empties the journal; the downgrade of the backfill then leaves every link."""
    dropped, again = (aoc.json("chain", "--drop-journal", "--apply") for _ in range(2))

    assert (dropped.exit_code, dropped.report["changed"]) == (0, True)
    assert (dropped.report["facts"]["batches"], dropped.report["facts"]["links"]) == (1, 6)
    assert "leaves the links as they are" in dropped.report["next"]["note"]
    assert aoc.json("history").report["facts"]["runs"][0]["command"] == "chain --drop-journal"
    assert (again.report["facts"], again.report["changed"]) == ({"batches": 0, "links": 0}, False)
    assert aoc("downgrade", f"{chains_at_head.target}_0005").exit_code == 0
    assert links(chains_at_head) == GOOD
    assert aoc.json("chain", "--drop-journal").report["facts"] == {"batches": 0, "links": 0}
    assert aoc("upgrade", "--release-hold").exit_code == 0


def test_drop_journal_shows_first(chains_at_head: Database, aoc: Aoc) -> None:
    """Without --apply it shows what it would drop, drops nothing and says how; `status` counts the same links."""
    shown = aoc.json("chain", "--drop-journal")

    assert (shown.exit_code, shown.report["changed"]) == (0, False)
    assert shown.report["facts"] == {"batches": 1, "links": 6}
    assert shown.report["next"]["choices"] == [f"aoc-migrate chain {chains_at_head.target} --drop-journal --apply"]
    assert aoc.json("status").report["facts"]["journal"] == 6


def test_drop_journal_needs_one_target(concelier: Database, excititor: Database, aoc: Aoc) -> None:
    """With several targets configured, the drop needs one named, because it cannot be undone."""
    aoc.configure(concelier, excititor)
    assert aoc("upgrade").exit_code == 0

    assert aoc("chain", "--drop-journal").exit_code == 0
    assert aoc("chain", "--drop-journal", "--apply").exit_code == 2
    assert aoc("chain", "excititor", "--drop-journal", "--apply").exit_code == 0


def test_a_rollback_under_way_keeps_its_journal(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """While a rollback is unfinished, the journal stays: it could not set back the rest of the links."""
    for n in range(3):
        excititor.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    with session_of(excititor) as session:
        hold.begin(session, "downgrade base", None)

    ran = aoc.json("chain", "--drop-journal", "--apply")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["rollback-unfinished"], False)
    assert ran.report["next"]["command"] == "aoc-migrate downgrade excititor base"
    assert aoc.json("chain", "--drop-journal").report["facts"]["links"] == 2
