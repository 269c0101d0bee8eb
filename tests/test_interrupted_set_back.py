"""A downgrade that ends while it sets links back: the upgrade that is offered sets them again."""

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.fingerprint import fingerprint
from tests.helpers import before_backfill, psql, wrong_links

HALF = ("downgrade", "excititor_0005", "--batch-rows", "50", "--deadline", "2s")


@pytest.fixture
def half_set_back(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """An excititor at 0006, whose links a downgrade has begun to set back."""
    before_backfill(excititor, aoc, retrofit)
    assert aoc("upgrade", "excititor_0006").exit_code == 0
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw WHERE id = 'r99' FOR UPDATE")
        ended = aoc.json(*HALF)
    assert (ended.exit_code, ended.report["revision"]) == (3, "excititor_0006"), ended.out
    assert 0 < wrong_links(excititor) < 300
    return excititor


def upgraded(way: str, database: Database, aoc: Aoc) -> Ran:
    """Upgrade by the command, or by a script, which wants the hold of an unfinished downgrade out of the way."""
    if way == "command":
        return aoc("upgrade", "--release-hold")
    database.run("DELETE FROM aoc_migration_hold")
    return psql(database, aoc("plan", "excititor", "--sql").out, "-v", "retrofit=1")


@pytest.mark.parametrize("way", ["command", "script"])
def test_links_that_were_set_back_are_set_again(way: str, half_set_back: Database, aoc: Aoc) -> None:
    """After a downgrade that ended amid the links, an upgrade sets them again, and the way back restores all."""
    ran = upgraded(way, half_set_back, aoc)

    assert ran.exit_code == 0, ran.out + ran.err
    assert wrong_links(half_set_back) == 0
    assert aoc("verify").exit_code == 0
    assert aoc("downgrade", "base").exit_code == 0
    assert half_set_back.value("SELECT count(supersedes) FROM vex_raw") == 0


def test_a_half_set_back_backfill_is_shown(half_set_back: Database, aoc: Aoc) -> None:
    """Status and plan do not call the backfill done; an upgrade without the flag is refused before it begins."""
    status, planned = aoc.json("status"), aoc.json("plan", "excititor").report["facts"]["plan"]
    refused = aoc.json("upgrade", "--release-hold", AOC_ALLOW_SUPERSEDES_RETROFIT="false")

    assert "rows so far" in status.report["facts"]["backfill"]
    assert [line["revision"] for line in planned if "link rows" in line["statement"]] == ["excititor_0006"]
    assert (refused.exit_code, refused.report["changed"]) == (1, False)
    assert refused.slugs("error") == ["retrofit-not-allowed"]


def test_links_are_set_again_at_the_same_revision(half_set_back: Database, aoc: Aoc) -> None:
    """An upgrade to the revision that the database is at sets the links again, even without the hold, and once."""
    before = fingerprint(half_set_back.connection)
    half_set_back.run("DELETE FROM aoc_migration_hold")

    ran = aoc.json("upgrade", "excititor_0006")

    assert (ran.exit_code, ran.report["revision"], wrong_links(half_set_back)) == (0, "excititor_0006", 0)
    assert fingerprint(half_set_back.connection) == before
    assert aoc.json("upgrade", "excititor_0006").report["changed"] is False
