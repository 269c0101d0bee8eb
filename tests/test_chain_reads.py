"""What verify and chain read of the table, by PostgreSQL's own counters: each row once, and wrong links again."""

from collections.abc import Callable

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.session import Session
from aoc_migrate.inspect import chain_links
from aoc_migrate.inspect.chain_links import inspect_chain, verify_chain
from aoc_migrate.inspect.chain_scope import Scope
from aoc_migrate.report.model import Finding
from tests.conftest import Aoc, Database
from tests.helpers import counted, fill, scans
from tests.test_scans import session_of

ROWS = 5000
READ = (
    "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'vex_raw' "
    "UNION ALL SELECT idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'vex_raw'"
)
BREAK = """
UPDATE vex_raw SET supersedes = 'nowhere' WHERE id = 'r7';
UPDATE vex_raw SET supersedes = 'r1' WHERE id = 'r13';
UPDATE vex_raw SET supersedes = 'r18' WHERE id = 'r16';
UPDATE vex_raw SET supersedes = 'r21' WHERE id = 'r23';
UPDATE vex_raw SET supersedes = NULL WHERE id IN ('r28', 'r34');
UPDATE vex_raw SET supersedes = CASE id WHEN 'r36' THEN 'r37' WHEN 'r37' THEN 'r35' ELSE 'r36' END
WHERE id IN ('r36', 'r37', 'r38')
"""
KINDS = "dangling 1, cross-group 1, cycle 1, fork 1, out of order 3, false head 1, missing link 1"


def verified(session: Session) -> list[Finding]:
    """Return what verify finds in every chain."""
    return verify_chain(session, VEX_RAW, "-infinity", 10, Scope())[0]


def inspected(session: Session) -> list[Finding]:
    """Return what chain finds."""
    return list(inspect_chain(session, VEX_RAW, "-infinity", 10))


@pytest.fixture
def linked(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """A database at head with 5,000 rows, all links right."""
    fill(excititor, ROWS)
    aoc.configure(excititor)
    assert aoc("upgrade", **retrofit).exit_code == 0
    excititor.run("UPDATE vex_raw SET created_at = retrieved_at")
    excititor.run("VACUUM vex_raw")
    return excititor


def reads(database: Database, look: Callable[[Session], list[Finding]]) -> tuple[int, int, list[Finding]]:
    """Return how often the table was scanned, how many rows and index entries were read, and what was found."""
    before = scans(database), counted(database, READ)
    with session_of(database) as session:
        found = look(session)
    return scans(database) - before[0], counted(database, READ) - before[1], found


@pytest.mark.parametrize("look", [verified, inspected])
@pytest.mark.parametrize("statistics", ["", "ANALYZE vex_raw"], ids=["no statistics", "statistics"])
def test_wrong_links_are_looked_up_by_id(
    statistics: str, look: Callable[[Session], list[Finding]], linked: Database
) -> None:
    """With wrong links of each kind, the table is scanned as often as without, and hardly more is read."""
    linked.run("DELETE FROM pg_statistic WHERE starelid = 'vex_raw'::regclass")
    if statistics:
        linked.run(statistics)
    right = reads(linked, look)
    linked.run(BREAK)
    linked.add("late", upstream_id="CVE-9", retrieved_at="2025-01-01T00:00:46.5Z")

    wrong = reads(linked, look)

    assert right[2] == []
    assert (wrong[0] - right[0], right[1] >= ROWS) == (0, True)
    assert wrong[1] - right[1] < ROWS / 10
    assert [finding.slug for finding in wrong[2]] == ["chain-broken", "chain-late"]
    assert KINDS in wrong[2][0].problem
    assert [row["id"] for row in wrong[2][1].sample] == ["late", "r47"]


@pytest.mark.parametrize("look", [verified, inspected])
def test_too_many_wrong_links_are_read_again(
    look: Callable[[Session], list[Finding]], linked: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there are more wrong links than are looked up, the findings are the same, whole, after one more scan."""
    linked.run(BREAK)
    few = reads(linked, look)
    monkeypatch.setattr(chain_links, "MOST_BY_ID", 8)

    many = reads(linked, look)

    assert (many[2], many[0] > few[0]) == (few[2], True)
    assert few[2][0].rows == 9
