"""What the constraints cost a service that writes: CPU time of its backend, measured in pairs.

One table has the constraints, as the revisions make them, the other has none; both have the same three indexes.
A service stores one document with one INSERT, a feed is loaded with COPY; a session's first INSERT compiles the
functions; the backfill sets a column of rows, and each row's CHECKs run again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg

from aoc_migrate.contract.rules import Check
from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.relation import Relation
from aoc_migrate.operations.check_steps import add_constraint, function_definition
from scripts.benchmarks.cpu import counted, shuffled, spent_by
from scripts.benchmarks.lab import TABLE, Lab
from scripts.benchmarks.results import Ratio, say

ROUNDS = 30
COPIED, INSERTED, TRANSACTION, UPDATED = 1000, 400, 100, 1000  # rows
COLUMNS = [column.name for column in ADVISORY_RAW.columns if column.name != ADVISORY_RAW.link]
NAMED = ", ".join(COLUMNS)
DOCUMENT = COLUMNS.index(ADVISORY_RAW.document)
SMALL = '{"raw": {}}'
PLAIN, AGAIN, CHECKS, GUARDED = "bench_plain", "bench_again", "bench_checks", "bench_guarded"
VARIANTS = {
    AGAIN: "the same table again",
    CHECKS: "all CHECKs and NOT NULLs",
    GUARDED: "without the CHECK on content, as the backfill meets it",
}
Writes = Callable[[str, int], float]


@dataclass
class Bench:
    """A database with the tables, its rows as texts, and a connection that stays open."""

    lab: Lab
    name: str
    connection: psycopg.Connection[Any]
    rows: list[tuple[str, ...]]

    def rounds(self, size: int) -> int:
        """Return the number of rounds of ``size`` rows, without the warm-up."""
        return min(ROUNDS, len(self.rows) // size - 1)

    def page(self, number: int, size: int) -> Sequence[tuple[str, ...]]:
        """Return the rows of a round. The warm-up, number -1, gets the last rows."""
        begin = (self.rounds(size) if number < 0 else number) * size
        return self.rows[begin : begin + size]

    def empty(self) -> None:
        """Remove all rows from the tables."""
        self.connection.execute(f"TRUNCATE {', '.join((PLAIN, *VARIANTS))}".encode())


def measure(lab: Lab) -> Iterator[Ratio]:
    """Write the same rows into tables with and without constraints, in random order."""
    lab.create("inserts", documents=True, rows=min(lab.rows, (ROUNDS + 1) * COPIED))
    with lab.connect("inserts") as connection:
        if not counted(connection):
            say("inserts: left out, because only Linux shows the CPU time of a backend")
            return
        for check in ADVISORY_RAW.checks():  # both tables with CHECKs call the same functions
            if check.function:
                connection.execute(function_definition(Relation("public", TABLE), check).encode())
        for variant, checks in {PLAIN: (), AGAIN: (), CHECKS: ADVISORY_RAW.checks()}.items():
            make(connection, variant, checks)
        make(connection, GUARDED, (*ADVISORY_RAW.row_checks(), ADVISORY_RAW.required_check()))
        texts = ", ".join(f"{column}::text" for column in COLUMNS)
        rows = connection.execute(f"SELECT {texts} FROM {TABLE} ORDER BY id".encode()).fetchall()
        bench = Bench(lab, "inserts", connection, rows)
        yield from one_by_one(bench, "CPU of an INSERT", bound=1.2)
        bench.rows = [(*row[:DOCUMENT], SMALL, *row[DOCUMENT + 1 :]) for row in rows]
        yield from one_by_one(bench, "CPU of an INSERT, no document", bound=None)
        bench.rows = rows
        yield first_of_session(bench)
        yield from copied(bench)
        yield from updated(bench)  # the rows that were copied
    lab.drop("inserts")


def make(connection: psycopg.Connection[Any], name: str, checks: Sequence[Check]) -> None:
    """Make an empty table with the raw one's columns, the contract's indexes, and ``checks``, if any.

    The check that columns are NOT NULL becomes NOT NULL, as it does in a revision.
    """
    table, required = Relation("public", name), ADVISORY_RAW.required_check()
    columns = f"LIKE {TABLE} INCLUDING INDEXES INCLUDING DEFAULTS, {ADVISORY_RAW.link} text"
    connection.execute(f"CREATE TABLE {table} ({columns})".encode())
    for index in (ADVISORY_RAW.idempotency_index(), ADVISORY_RAW.chain_index()):
        unique = "UNIQUE" if index.unique else ""
        connection.execute(f"CREATE {unique} INDEX ON {table} ({', '.join(index.columns)})".encode())
    for check in checks:
        if check.function:
            connection.execute(f"ALTER TABLE {table} {add_constraint(table, check)}".encode())
        if check == required:
            columns = ", ".join(f"ALTER {column} SET NOT NULL" for column in required.columns)
            connection.execute(f"ALTER TABLE {table} {columns}".encode())


def insert(table: str) -> bytes:
    """Return the INSERT of one row."""
    return f"INSERT INTO {table} ({NAMED}) VALUES ({', '.join(['%s'] * len(COLUMNS))})".encode()


def one_by_one(bench: Bench, what: str, bound: float | None) -> Iterator[Ratio]:
    """Insert row by row with a statement that the server has prepared, in transactions of a hundred."""

    def write(table: str, number: int) -> float:
        rows, statement = bench.page(number, INSERTED), insert(table)

        def act() -> None:
            for begin in range(0, len(rows), TRANSACTION):
                with bench.connection.transaction():
                    for row in rows[begin : begin + TRANSACTION]:
                        bench.connection.execute(statement, row, prepare=True)

        return spent_by(bench.connection, act) / len(rows)

    bench.empty()
    yield from compared(bench, what, write, bench.rounds(INSERTED), (AGAIN, CHECKS), bound)


def copied(bench: Bench) -> Iterator[Ratio]:
    """Copy a thousand rows at a time."""

    def write(table: str, number: int) -> float:
        rows = bench.page(number, COPIED)

        def act() -> None:
            with bench.connection.cursor().copy(f"COPY {table} ({NAMED}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)

        return spent_by(bench.connection, act) / len(rows)

    bench.empty()
    for number in range(-1, bench.rounds(COPIED)):
        write(GUARDED, number)  # for the updates
    yield from compared(bench, "CPU of COPY", write, bench.rounds(COPIED), (AGAIN, CHECKS), 1.05)


def first_of_session(bench: Bench) -> Ratio:
    """Let new sessions insert one row each."""

    def write(table: str, number: int) -> float:
        with bench.lab.connect(bench.name) as connection, connection.transaction(force_rollback=True):
            return spent_by(connection, lambda: connection.execute(insert(table), bench.rows[number]))

    bench.empty()
    spent = run(write, (PLAIN, CHECKS), ROUNDS, bench.lab.seed)
    plain, ours = (median(spent[table]) * 1000 for table in (PLAIN, CHECKS))
    return Ratio(f"CPU of a session's first INSERT: {VARIANTS[CHECKS]}", "a plain table", ours, plain, "ms", None)


def updated(bench: Bench) -> Iterator[Ratio]:
    """Set the link of rows that have their documents, a thousand at a time."""

    def write(table: str, number: int) -> float:
        ids = [row[0] for row in bench.page(number, UPDATED)]
        statement = (
            f"UPDATE {table} AS t SET {ADVISORY_RAW.link} = w.before "
            "FROM unnest(%s::text[], %s::text[]) AS w (id, before) WHERE t.id = w.id"
        ).encode()
        before = [*ids[1:], ids[0]]
        return spent_by(bench.connection, lambda: bench.connection.execute(statement, (ids, before))) / len(ids)

    for table in (PLAIN, *VARIANTS):
        bench.connection.execute(f"VACUUM (ANALYZE) {table}".encode())
    yield from compared(bench, "CPU of an UPDATE", write, bench.rounds(UPDATED), tuple(VARIANTS), None)


def compared(
    bench: Bench, what: str, write: Writes, rounds: int, variants: Sequence[str], bound: float | None
) -> Iterator[Ratio]:
    """Compare variants with the plain table, round by round; the middle of the rounds counts."""
    spent = run(write, (PLAIN, *variants), rounds, bench.lab.seed)
    plain = median(spent[PLAIN]) * 1e6
    for variant in variants:
        pairs = [ours / other for ours, other in zip(spent[variant], spent[PLAIN], strict=True)]
        limit = bound if variant == CHECKS else None
        yield Ratio(f"{what}: {VARIANTS[variant]}", "a plain table", plain * median(pairs), plain, "µs/row", limit)


def run(write: Writes, tables: Sequence[str], rounds: int, seed: int) -> dict[str, list[float]]:
    """Write to each table once a round."""
    actions: dict[str, Callable[[int], float]] = {}
    for table in tables:
        actions[table] = lambda number, table=table: write(table, number)  # type: ignore[misc]
    return shuffled(rounds, seed, actions)
