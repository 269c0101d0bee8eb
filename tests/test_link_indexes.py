"""A unique index or an exclusion constraint that refuses links is found before anything is changed."""

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql
from tests.link_refusals import LONG, chain_of_two, refused

TO_ITSELF = f"UPDATE vex_raw SET supersedes = '{LONG}0' WHERE id = '{LONG}0'"
UNJUDGED = "index public.once may refuse them"
REFUSING = {
    "some columns": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (tenant, supersedes) INCLUDE (upstream_id)",
        "unique index public.once",
    ),
    "a constraint": (
        f"{TO_ITSELF}; ALTER TABLE vex_raw ADD CONSTRAINT once UNIQUE (supersedes)",
        "unique index public.once",
    ),
    "the rows with a link": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (supersedes) WHERE supersedes IS NOT NULL",
        "unique index public.once",
    ),
    "the link only as the condition": (
        f"{TO_ITSELF}; CREATE UNIQUE INDEX once ON vex_raw (tenant) WHERE supersedes = '{LONG}0'",
        "unique index public.once",
    ),
    "an expression": ("CREATE UNIQUE INDEX once ON vex_raw (lower(supersedes))", UNJUDGED),
    "an exclusion": (
        "ALTER TABLE vex_raw ADD CONSTRAINT once EXCLUDE USING btree (supersedes WITH =)",
        UNJUDGED,
    ),
}
FITTING = [
    "ALTER TABLE vex_raw ADD UNIQUE (supersedes)",
    "CREATE UNIQUE INDEX ON vex_raw (supersedes) WHERE supersedes IS NOT NULL",
    "CREATE UNIQUE INDEX ON vex_raw (tenant) INCLUDE (supersedes) WHERE id = 'nothing'",
    "CREATE UNIQUE INDEX ON vex_raw (lower(id)) INCLUDE (supersedes)",
]


@pytest.fixture
def linked(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """A chain of two revisions without a link, ready for the upgrade."""
    return chain_of_two(excititor, aoc, retrofit)


@pytest.mark.parametrize("case", REFUSING)
def test_an_index_that_refuses_a_link_is_found(case: str, linked: Database, aoc: Aoc) -> None:
    """An index that refuses a link, or may, is found by audit, upgrade and script, with a remedy that works."""
    obstacle, reason = REFUSING[case]
    linked.run(obstacle)

    linked.run(refused(linked, aoc, "link-refused", reason).removeprefix("Run: "))

    assert aoc("upgrade").exit_code == 0


@pytest.mark.parametrize("case", REFUSING)
def test_it_does_not_matter_where_no_row_needs_a_link(case: str, linked: Database, aoc: Aoc) -> None:
    """An index stops nothing if no row needs a link."""
    linked.run(
        f"DELETE FROM vex_raw WHERE id = '{LONG}1'; {REFUSING[case][0]}; UPDATE vex_raw SET supersedes = NULL"
    )

    assert aoc("upgrade").exit_code == 0


@pytest.mark.parametrize("case", FITTING)
def test_an_index_that_allows_the_links_is_no_obstacle(case: str, linked: Database, aoc: Aoc) -> None:
    """An index that allows every link, or only includes the column, stops nothing, in either direction."""
    linked.run(case)

    upgraded = aoc.json("upgrade")

    assert (upgraded.exit_code, upgraded.slugs("error")) == (0, [])
    assert aoc("downgrade", "base").exit_code == 0


def test_old_links_that_are_alike_are_found(linked: Database, aoc: Aoc) -> None:
    """Old links that an index allows only once stop the downgrade and its script before they change anything."""
    linked.run("UPDATE vex_raw SET supersedes = 'unknown'")
    assert aoc("upgrade").exit_code == 0
    linked.run("CREATE UNIQUE INDEX once ON vex_raw (supersedes) WHERE supersedes IS NOT NULL")

    script = psql(linked, aoc("plan", "excititor", "head:base", "--sql").out)
    ran = aoc.json("downgrade", "base")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["link-refused"], False)
    assert ran.finding("link-refused")["rows"] == 2
    assert (script.exit_code, "unique index public.once" in script.err) == (3, True)
    linked.run("DROP INDEX once")
    assert aoc("downgrade", "base").exit_code == 0
    assert linked.value("SELECT count(*) FROM vex_raw WHERE supersedes = 'unknown'") == 2
