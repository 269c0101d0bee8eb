"""The contract's rules on rows of every kind: predicate, function and an oracle in Python."""

import random
from collections.abc import Iterator
from typing import Any

import psycopg
from hypothesis import strategies as st

from aoc_migrate.contract.v1 import VEX_RAW
from tests import adversary
from tests.adversary import GOOD, OBJECTS, REQUIRED, TEXTS, Row, faults
from tests.conftest import Database
from tests.fuzzing.json_texts import rows
from tests.fuzzing.place import Place, commands, legacy, passes

CHECKS = [VEX_RAW.keys_check(), VEX_RAW.objects_check(), VEX_RAW.document_check()]
NAMES = ["keys", "objects", "content"]
COLUMNS = [*TEXTS, "retrieved_at", *OBJECTS]
TYPES = dict.fromkeys(OBJECTS, "jsonb") | {"retrieved_at": "timestamptz"}
BATCH = 5_000
EXAMPLES = st.lists(rows(), min_size=1, max_size=10)


def drawn(number: int, seed: int) -> list[Row]:
    """Return the corners and rows drawn at random, ``number`` in all; the same in every run."""
    by = random.Random(seed)
    found = adversary.corners()
    return found + [adversary.row(by) for _ in range(number - len(found))]


def fill(connection: psycopg.Connection[Any], rows: list[Row], collation: str = '"default"') -> None:
    """Put rows into a table without any rule; its texts have a collation."""
    columns = ", ".join(f"{c} {TYPES.get(c, f'text COLLATE {collation}')}" for c in COLUMNS)
    connection.execute(f"CREATE TABLE drawn (n int, {columns})".encode())
    with connection.cursor().copy("COPY drawn FROM STDIN") as copy:
        for n, row in enumerate(rows):
            copy.write_row([n, *(row[c] for c in COLUMNS)])


def judged(connection: psycopg.Connection[Any], *, called: bool) -> list[list[bool | None]]:
    """Return what each rule says of each row, by its predicate or by its function."""
    asked = [f"{c.function}({', '.join(c.columns)})" if called else c.predicate for c in CHECKS]
    required = [f"({c} IS NOT NULL)" for c in REQUIRED]
    listed = ", ".join(f"({form})" for form in [*asked, *required])
    return [list(row) for row in connection.execute(f"SELECT {listed} FROM drawn ORDER BY n".encode())]


def expected(rows: list[Row]) -> list[list[bool]]:
    """Return what the oracle says of each row and rule."""
    rules = [*NAMES, *(f"no {column}" for column in REQUIRED)]
    return [[rule not in found for rule in rules] for found in map(faults, rows)]


def wrong(connection: psycopg.Connection[Any], rows: list[Row]) -> Iterator[Row]:
    """Yield the rows of the table on which a form disagrees with the oracle."""
    answers = zip(judged(connection, called=False), judged(connection, called=True), strict=True)
    for row, wanted, (inline, called) in zip(rows, expected(rows), answers, strict=True):
        if not inline == called == wanted:
            yield row


def compare(connection: psycopg.Connection[Any], rows: list[Row]) -> None:
    """Check that both forms agree with the oracle on every row, or name the smallest that shows otherwise."""
    found = next(wrong(connection, rows), None)
    assert found is None, f"predicate, function and oracle differ on GOOD | {smallest(connection, found)!r}"


def disagree(connection: psycopg.Connection[Any], rows: list[Row]) -> bool:
    """Return whether a form disagrees with the oracle on one of ``rows``; leaves nothing behind."""
    with connection.transaction(force_rollback=True):
        connection.execute("DROP TABLE IF EXISTS drawn")
        fill(connection, rows)
        return any(wrong(connection, rows))


def smallest(connection: psycopg.Connection[Any], row: Row) -> Row:
    """Return the columns that a row must have instead of the good ones for a form to disagree with the oracle."""
    for name in COLUMNS:
        if disagree(connection, [row | {name: GOOD[name]}]):
            row = row | {name: GOOD[name]}
    return {name: value for name, value in row.items() if value != GOOD[name]}


def at_head(database: Database) -> None:
    """Make a database with the functions of the rules."""
    legacy(database)
    passes(commands(database), "upgrade")


def check(place: Place, drawn: list[Row]) -> None:
    """Predicate, function and oracle agree on the rows."""
    connection = place.keep("excititor", "predicates", at_head)
    with connection.transaction(force_rollback=True):
        fill(connection, drawn)
        compare(connection, drawn)


def many(place: Place, number: int, seed: int) -> Iterator[int]:
    """Try ``number`` rows in batches, the corners first; yield how many have been tried, after each batch."""
    connection = place.keep("excititor", "predicates", at_head)
    rows, by, tried = adversary.corners(), random.Random(seed), 0
    while tried < number:
        rows += [adversary.row(by) for _ in range(min(BATCH, number - tried) - len(rows))]
        with connection.transaction(force_rollback=True):
            fill(connection, rows)
            compare(connection, rows)
        tried, rows = tried + len(rows), []
        yield tried
