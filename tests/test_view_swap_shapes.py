"""Legacy tables of every shape: swapped, shown through the view, and swapped back."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import wait_until, writing

SHAPES = {
    "generated": "CREATE TABLE advisory (id text, loud text GENERATED ALWAYS AS (upper(id)) STORED)",
    "identity": "CREATE TABLE advisory (n int GENERATED ALWAYS AS IDENTITY, id text)",
    "dropped": "CREATE TABLE advisory (gone int, id text, also int); "
    "ALTER TABLE advisory DROP gone, DROP also, ADD again int DEFAULT 7",
    "odd names": 'CREATE TABLE advisory (id text, "select" int, "a ""b""" text, "Ünit %" text, "n\'t" text)',
    "partitioned": "CREATE TABLE advisory (id text, tenant text DEFAULT 'b') PARTITION BY LIST (tenant); "
    "CREATE TABLE advisory_a PARTITION OF advisory FOR VALUES IN ('a'); "
    "CREATE TABLE advisory_b PARTITION OF advisory FOR VALUES IN ('b')",
    "inherited": "CREATE TABLE advisory (id text); CREATE TABLE advisory_old (n int) INHERITS (advisory); "
    "INSERT INTO advisory_old VALUES ('3', 3)",
    "domain": 'CREATE DOMAIN short AS varchar(9) COLLATE "C"; CREATE TABLE advisory (id short, at timestamp(3))',
}


def shape(database: Database) -> Any:
    """Return the columns (name, type, collation) and rows of advisory."""
    described = database.connection.execute("SELECT * FROM advisory ORDER BY id")
    columns = database.rows(
        "SELECT attname, format_type(atttypid, atttypmod), attcollation FROM pg_attribute "
        "WHERE attrelid = 'advisory'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return columns, described.fetchall()


@pytest.mark.parametrize("name", SHAPES)
def test_tables_of_every_shape_are_swapped_and_back(name: str, concelier: Database, aoc: Aoc) -> None:
    """Whatever columns the table has, the view shows the same columns and rows, and the way back is open."""
    concelier.run(f"DROP TABLE advisory CASCADE; {SHAPES[name]}")
    concelier.run("INSERT INTO advisory (id) VALUES ('1'), ('2')")
    before = shape(concelier)
    aoc.configure(concelier)

    assert aoc("upgrade").exit_code == 0

    assert shape(concelier) == before
    assert aoc.json("verify").slugs() == []
    assert aoc("downgrade", "-1").exit_code == 0
    assert shape(concelier) == before
    concelier.run("INSERT INTO advisory (id) VALUES ('4')")


def test_writers_of_a_partitioned_table_are_noticed(concelier: Database, aoc: Aoc) -> None:
    """Writes are noticed where they land in a partition: the parent's own counters never move."""
    concelier.run(f"DROP TABLE advisory CASCADE; {SHAPES['partitioned']}")
    aoc.configure(concelier)
    written = "SELECT n_tup_ins > 0 FROM pg_stat_user_tables WHERE relname = 'advisory_b'"
    with writing(concelier, "INSERT INTO advisory (id) VALUES ('x')"):
        wait_until(lambda: concelier.value(written))
        ran = aoc.json("audit")

    assert (ran.exit_code, ran.slugs("warning")) == (0, ["advisory-still-written"])
