"""A database without the raw table: new, or the wrong one."""

from tests.conftest import Aoc, Database


def test_a_created_table_is_a_warning(empty_database: Database, aoc: Aoc) -> None:
    """An upgrade that creates the raw table says so, once; status says before that the table is missing."""
    aoc.configure(empty_database)

    before = aoc.json("status")
    created, again = aoc.json("upgrade"), aoc.json("upgrade")

    assert (before.exit_code, before.finding("table-missing")["severity"]) == (0, "warning")
    assert (created.exit_code, created.slugs("warning")) == (0, ["table-created"])
    assert "CONCELIER_DATABASE_SCHEMA" in created.finding("table-created")["help"]
    assert again.slugs() == []
