"""The backfill among writers, on plain and partitioned tables: exact at the end, and undone exactly."""

import random
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from aoc_migrate.contract.v1 import VEX_RAW
from aoc_migrate.database.bookkeeping import STATE, create_bookkeeping
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.runner_lock import runner_lock
from aoc_migrate.database.session import Row, Session, connect
from aoc_migrate.database.targets import Target
from aoc_migrate.operations.supersedes.backfill import relink
from aoc_migrate.operations.supersedes.set_back import restore
from aoc_migrate.operations.supersedes.staged import exceeds_cache
from tests.conftest import Database
from tests.helpers import beyond_cache

CHAIN_INDEX = (
    'CREATE INDEX vex_raw_chain_v1 ON vex_raw (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C")'
)
PARTITIONED = (
    "DROP TABLE vex_raw; CREATE TABLE vex_raw (id text, tenant text, source_vendor text, upstream_id text, "
    "retrieved_at timestamptz, supersedes text, PRIMARY KEY (id, {key}, tenant)) PARTITION BY HASH ({key});"
    "CREATE TABLE vex_raw_0 PARTITION OF vex_raw FOR VALUES WITH (MODULUS 3, REMAINDER 0);"
    "CREATE TABLE vex_raw_1 PARTITION OF vex_raw FOR VALUES WITH (MODULUS 3, REMAINDER 1) "
    "PARTITION BY LIST (tenant);"
    "CREATE TABLE vex_raw_1_rest PARTITION OF vex_raw_1 DEFAULT;"
    "CREATE TABLE vex_raw_2 PARTITION OF vex_raw FOR VALUES WITH (MODULUS 3, REMAINDER 2);"
)
PLAIN = "ALTER TABLE vex_raw ADD supersedes text"
SHAPES = {
    "plain": PLAIN,
    "partitioned by document": PARTITIONED.format(key="upstream_id"),
    "partitioned across chains": PARTITIONED.format(key="id").replace("(id, id, ", "(id, "),
}


@pytest.fixture(params=SHAPES)
def table_of_each_shape(request: pytest.FixtureRequest, excititor: Database) -> Database:
    """A raw table in several shapes, with what the backfill needs."""
    excititor.run(f"{SHAPES[request.param]}; {CHAIN_INDEX}; {create_bookkeeping(Schema('public'), STATE)}")
    return excititor


@pytest.fixture(params=["key", "pages"])
def order(request: pytest.FixtureRequest, table_of_each_shape: Database) -> str:
    """Let the backfill write in each of its orders."""
    if request.param == "pages":
        beyond_cache(table_of_each_shape)
    return str(request.param)


class Disturbed(Session):
    """A session after whose statements others store rows, as long as there are some to store."""

    rows_to_come: Iterator[None]

    def rows(self, sql: str, parameters: Any = None) -> list[Row]:
        """Run a query; before its rows are used, somebody else may have written."""
        found = super().rows(sql, parameters)
        if "vex_raw" in sql:
            next(self.rows_to_come, None)
        return found


def arrivals(database: Database, dice: random.Random, count: int) -> Iterator[None]:
    """Store that number of rows, up to five at a time: of old and of new documents, late or not, linked or not."""
    numbers = iter(range(count))
    for n in numbers:
        for m in (n, *(next(numbers, None) for _ in range(dice.randint(0, 4)))):
            if m is not None:
                row = (
                    f"{dice.choice('aZé')}{m}{count}",
                    dice.choice("tT"),
                    "v",
                    f"d{dice.randint(0, count // 6)}",
                )
                at, link = f"2025-01-{dice.randint(1, 28)}", dice.choice([None, None, "nowhere", "a1"])
                columns = "(id, tenant, source_vendor, upstream_id, retrieved_at, supersedes)"
                database.run(f"INSERT INTO vex_raw {columns} VALUES (%s, %s, %s, %s, %s, %s)", [*row, at, link])
        yield


def links(database: Database) -> dict[str, str | None]:
    """Return id and link of every row."""
    return dict(database.rows("SELECT id, supersedes FROM vex_raw"))


def expected(database: Database) -> dict[str, str | None]:
    """Work out in Python what every link must be."""
    rows = database.rows("SELECT tenant, source_vendor, upstream_id, retrieved_at, id FROM vex_raw")
    rows.sort(key=lambda row: (*row[:4], row[4].encode()))
    wanted: dict[str, str | None] = {}
    for _, chain in groupby(rows, lambda row: row[:3]):
        ids = [row[4] for row in chain]
        wanted |= dict(zip(ids, [None, *ids], strict=False))
    return wanted


def test_a_partition_of_another_owner_keeps_key_order(excititor: Database) -> None:
    """Nothing is written to a partition directly whose owner is not the table's: its policies would hold there."""
    excititor.run(SHAPES["partitioned by document"])
    beyond_cache(excititor)
    other = f"{excititor.connection.info.dbname}_other"
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        assert exceeds_cache(session, VEX_RAW, new_indexes=2**30)
        excititor.run(f"CREATE ROLE {other}; ALTER TABLE vex_raw_1_rest OWNER TO {other}")
        try:
            assert not exceeds_cache(session, VEX_RAW, new_indexes=2**30)
        finally:
            excititor.run(f"REASSIGN OWNED BY {other} TO CURRENT_USER; DROP ROLE {other}")


@pytest.mark.alike
@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("seed", range(3))
def test_rows_stored_meanwhile_are_linked_too(seed: int, table_of_each_shape: Database) -> None:
    """Whatever others store between its statements, every link is right at the end, and is undone exactly."""
    dice = random.Random(seed)
    list(arrivals(table_of_each_shape, dice, 120))
    table_of_each_shape.run("CREATE TABLE found AS SELECT id, supersedes FROM vex_raw")
    table_of_each_shape.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO found VALUES (NEW.id, "
        "NEW.supersedes); RETURN NULL; END $$; CREATE TRIGGER note AFTER INSERT ON vex_raw FOR EACH ROW "
        "EXECUTE FUNCTION note()"
    )
    target, limits = Target("excititor", table_of_each_shape.url), Limits(batch_rows=(1, 7, 40)[seed])
    with connect(target, "test", limits, Flags()) as session, runner_lock(session):
        session.__class__ = Disturbed
        session.rows_to_come = arrivals(table_of_each_shape, dice, 60 + seed)  # type: ignore[attr-defined]

        written = relink(session, VEX_RAW, "walk")

        assert links(table_of_each_shape) == expected(table_of_each_shape)
        assert next(session.rows_to_come, "none left") == "none left"  # type: ignore[attr-defined]
        stored = dict(table_of_each_shape.rows("SELECT id, supersedes FROM found"))
        assert written >= sum(link != stored[id_] for id_, link in links(table_of_each_shape).items())
        restore(session, VEX_RAW, "walk")
    assert links(table_of_each_shape) == stored
