"""The backfill over several batches: every row gets its link, and the downgrade gives the old one back."""

import random
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.conftest import Aoc, Database
from tests.helpers import beyond_cache

BATCH = 100  # rows: as few as a batch ever aims at, so that all are of this size
IN_BATCHES = ("--batch-rows", str(BATCH))
ALLOWED = {"AOC_ALLOW_SUPERSEDES_RETROFIT": "true"}
COLUMNS = "id, tenant, source_vendor, upstream_id, retrieved_at"
WORDS = [
    "a",
    "A",
    "b",
    "B",
    "ä",
    "Ä",
    "z",
    "Z",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "-",
    "_",
    "a b",
    "a-b",
    "ab",
    "日本",
    "😀",
]


@pytest.fixture(params=["concelier", "excititor"])
def target_with_link_column(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, configured, and with a link column already."""
    chosen: Database = request.getfixturevalue(request.param)
    chosen.run(f"ALTER TABLE {chosen.table} ADD supersedes text")
    aoc.configure(chosen)
    return chosen


@pytest.fixture(params=["key", "pages"])
def order(request: pytest.FixtureRequest, target_with_link_column: Database) -> str:
    """Let the backfill write in each of its orders."""
    if request.param == "pages":
        beyond_cache(target_with_link_column)
    return str(request.param)


@pytest.fixture
def concelier_in_dictionary_order(empty_database: Database, aoc: Aoc) -> Iterator[Database]:
    """A concelier database whose texts sort as in a dictionary (ICU), configured."""
    try:
        empty_database.value("SELECT 'a' < 'B' COLLATE \"und-x-icu\"")
    except psycopg.Error:
        pytest.skip("this server was built without ICU, and so sorts every text by its bytes")
    name = f"{empty_database.connection.info.dbname}_icu"
    empty_database.run(f"DROP DATABASE IF EXISTS {name}")
    empty_database.run(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    with psycopg.connect(make_conninfo(empty_database.url, dbname=name), autocommit=True) as connection:
        create_raw_table(connection, "advisory_raw")
        create_legacy_advisory(connection)
        connection.execute("ALTER TABLE advisory_raw ADD supersedes text")
        database = Database(connection, "advisory_raw", "concelier")
        aoc.configure(database)
        yield database
    empty_database.run(f"DROP DATABASE {name}")


def fill(database: Database, documents: int, seed: int) -> None:
    """Store documents of 1 to 9 revisions (one of them longer than a batch) in random order; some links are wrong.

    Ids and keys are of mixed case and script; many revisions were retrieved in the same instant.
    """
    dice = random.Random(seed)
    rows = []
    for n in range(documents):
        tenant, vendor, document = dice.choice("aA"), dice.choice("zZ"), f"{dice.choice(WORDS)}{n // 9}"
        for _ in range(BATCH + 100 if n == documents // 2 else dice.randint(1, 9)):
            at = f"2025-01-0{dice.randint(1, 3)}T00:00:00.{dice.randint(0, 1)}Z"
            rows.append((tenant, vendor, document, at))
    dice.shuffle(rows)
    ids = [f"{dice.choice(WORDS)}{dice.choice(WORDS)}{n}" for n in range(len(rows))]
    insert = f"COPY {database.table} ({COLUMNS}, supersedes, content_hash, source, upstream, linkset) FROM STDIN"
    with database.connection.cursor().copy(insert) as copy:
        for id_, row in zip(ids, rows, strict=True):
            link = dice.choice([None, "nowhere", *dice.choices(ids, k=3)])
            copy.write_row((id_, *row, link, f"hash of {id_}", "{}", "{}", "{}"))


def links(database: Database) -> dict[str, str | None]:
    """Return id and link of every row."""
    return dict(database.rows(f"SELECT id, supersedes FROM {database.table}"))


def expected(database: Database) -> dict[str, str | None]:
    """Work out in Python what every link must be: by time, then by the bytes of the id."""

    def key(row: Any) -> Any:
        return row[1:4]

    rows = database.rows(f"SELECT {COLUMNS} FROM {database.table}")
    rows.sort(key=lambda row: (key(row), row[4], row[0].encode()))
    wanted: dict[str, str | None] = {}
    for _, chain in groupby(rows, key):
        revisions = [row[0] for row in chain]
        wanted |= {revisions[0]: None} | {after: before for before, after in pairwise(revisions)}
    return wanted


def check_both_ways(database: Database, aoc: Aoc) -> None:
    """Go up, compare with Python; go down, compare with what was there."""
    before = links(database)
    up = aoc.json("upgrade", *IN_BATCHES, **ALLOWED)
    assert (up.exit_code, up.slugs("error")) == (0, []), up.out
    assert links(database) == expected(database)
    assert aoc("verify").exit_code == 0
    wrong = sum(before[id_] != link for id_, link in links(database).items())
    facts = aoc.json("chain", "--drop-journal").report["facts"]
    assert facts["links"] == wrong
    assert facts["batches"] > 2

    down = aoc.json("downgrade", f"{database.target}_0005", *IN_BATCHES, AOC_GUARD_ENABLED="false")

    assert (down.exit_code, down.slugs()) == (0, ["held"])
    assert links(database) == before


@pytest.mark.alike
@pytest.mark.usefixtures("order")
def test_every_link_is_set_and_taken_back(target_with_link_column: Database, aoc: Aoc) -> None:
    """Hundreds of rows in chains that cross batches end as Python computes; the downgrade is exact."""
    fill(target_with_link_column, 120, seed=1)

    check_both_ways(target_with_link_column, aoc)


def test_a_linguistic_collation_skips_no_row(concelier_in_dictionary_order: Database, aoc: Aoc) -> None:
    """Where the database sorts like a dictionary, no batch skips a row, and bytes still break ties."""
    assert concelier_in_dictionary_order.value("SELECT 'a' < 'B'")
    fill(concelier_in_dictionary_order, 120, seed=2)

    check_both_ways(concelier_in_dictionary_order, aoc)


def test_equal_times_are_ordered_by_id(target_with_link_column: Database, aoc: Aoc) -> None:
    """A chain longer than two batches whose rows were all retrieved at once is ordered by the ids' bytes."""
    rows = 2 * BATCH + 5
    target_with_link_column.run(
        f"INSERT INTO {target_with_link_column.table} ({COLUMNS}, content_hash, source, upstream, linkset) "
        "SELECT chr(97 - 32 * (n % 2)) || n, 't', 'v', 'u', 'epoch', n, '{}', '{}', '{}' "
        f"FROM generate_series(1, {rows}) AS n"
    )

    check_both_ways(target_with_link_column, aoc)


@pytest.mark.parametrize("rows", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
def test_no_row_is_lost_at_the_border_of_a_batch(rows: int, excititor: Database, aoc: Aoc) -> None:
    """At the border of a batch no row is skipped and none is written twice."""
    excititor.run(
        f"INSERT INTO vex_raw ({COLUMNS}, content_hash, source, upstream, linkset) "
        "SELECT n, 't', 'v', 'u', timestamptz 'epoch' + n * interval '1 s', n, '{}', '{}', '{}' "
        f"FROM generate_series(1, {rows}) AS n"
    )
    aoc.configure(excititor)

    assert aoc("upgrade", *IN_BATCHES, **ALLOWED).exit_code == 0

    assert links(excititor) == {"1": None} | {str(n): str(n - 1) for n in range(2, rows + 1)}
    assert aoc.json("status").report["facts"]["journal"] == rows - 1


def test_odd_times_are_in_order(excititor: Database, aoc: Aoc) -> None:
    """Rows retrieved before Christ, a microsecond apart or in the far future are in order like any other."""
    times = [
        "4713-01-01 00:00:00+00 BC",
        "0044-03-15 00:00:00+00 BC",
        "2025-01-01T00:00:00.000001Z",
        "2025-01-01T00:00:00.000002Z",
    ]
    times.append("294276-12-31T00:00:00Z")
    for n, at in enumerate(times):
        excititor.add(str(n), retrieved_at=at)
    aoc.configure(excititor)

    assert aoc("upgrade", *IN_BATCHES, **ALLOWED).exit_code == 0
    assert links(excititor) == {"0": None, "1": "0", "2": "1", "3": "2", "4": "3"}
