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


COLUMNS = [
    ("id", "text", True, None),
    ("tenant", "text", False, None),
    ("source_vendor", "text", False, None),
    ("upstream_id", "text", False, None),
    ("content_hash", "text", False, None),
    ("retrieved_at", "timestamp with time zone", False, None),
    ("source", "jsonb", False, None),
    ("upstream", "jsonb", False, None),
    ("linkset", "jsonb", False, None),
    ("content", "jsonb", False, None),
    ("identifiers", "jsonb", False, None),
    ("supersedes", "text", False, None),
    ("created_at", "timestamp with time zone", False, "now()"),
]


def test_the_created_table_has_the_envelope(empty_database: Database, aoc: Aoc) -> None:
    """The first revision makes every column of the contract, of which only the primary key is NOT NULL yet."""
    aoc.configure(empty_database)

    assert aoc("upgrade", "concelier_0001").exit_code == 0

    found = empty_database.rows(
        "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) "
        "FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum) "
        "WHERE attrelid = 'advisory_raw'::regclass AND attnum > 0 ORDER BY attnum"
    )
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"
    assert found == COLUMNS
    assert empty_database.value(key, ["advisory_raw"]) == "PRIMARY KEY (id)"
