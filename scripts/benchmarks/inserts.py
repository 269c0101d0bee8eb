"""What the constraints cost a service that inserts: CPU time of its backend, in pairs, as no clock can show it."""

import random
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psycopg

from aoc_migrate.contract.v1 import ADVISORY_RAW
from scripts.benchmarks.lab import TABLE, Lab, value
from scripts.benchmarks.results import Ratio, tell

ROWS, ROUNDS = 1000, 40
VARIANTS = ("plain", "plain_again", "checks", "checks_and_index")


def measure(lab: Lab) -> Iterator[Ratio]:
    """Copy the same rows into tables with and without, in random order, a thousand at a time."""
    with lab.connect(lab.legacy()) as connection:
        if not Path(f"/proc/{connection.info.backend_pid}/schedstat").exists():
            tell("inserts: left out, only Linux tells the CPU time of a backend")
            return
        rounds = min(ROUNDS, lab.rows // ROWS)
        for variant in VARIANTS:
            make(connection, variant)
        chance = random.Random(lab.seed)
        spent: dict[str, list[int]] = {variant: [] for variant in VARIANTS}
        for number in range(rounds):
            page = f"SELECT * FROM {TABLE} ORDER BY id OFFSET {number * ROWS} LIMIT {ROWS}"
            connection.execute(f"CREATE TEMP TABLE page AS {page}".encode())
            with connection.cursor().copy(b"COPY page TO STDOUT") as copy:
                rows = b"".join(bytes(block) for block in copy)
            connection.execute(b"DROP TABLE page")
            for variant in chance.sample(VARIANTS, len(VARIANTS)):
                spent[variant].append(insert(connection, variant, rows))
        for variant in VARIANTS:
            connection.execute(f"DROP TABLE bench_{variant}".encode())
    yield from compared(spent)


def make(connection: psycopg.Connection[object], variant: str) -> None:
    """Make an empty table like the raw one, with the contract's constraints as far as the variant says."""
    table = f"bench_{variant}"
    connection.execute(f"CREATE TABLE {table} (LIKE {TABLE} INCLUDING INDEXES INCLUDING DEFAULTS)".encode())
    if variant.startswith("checks"):
        checks = [*ADVISORY_RAW.row_checks(), ADVISORY_RAW.document_check()]
        adds = ", ".join(f"ADD CONSTRAINT {c.name} CHECK ({c.predicate})" for c in checks)
        required = ", ".join(f"ALTER {column} SET NOT NULL" for column in ADVISORY_RAW.required)
        connection.execute(f"ALTER TABLE {table} {adds}, {required}".encode())
    if variant == "checks_and_index":
        key = ", ".join(ADVISORY_RAW.idempotency_key)
        connection.execute(f"CREATE UNIQUE INDEX ON {table} ({key})".encode())


def insert(connection: psycopg.Connection[object], variant: str, rows: bytes) -> int:
    """Copy rows into a table; return the nanoseconds of CPU that the backend spent."""
    before = spent_by(connection)
    with connection.cursor().copy(f"COPY bench_{variant} FROM STDIN".encode()) as copy:
        copy.write(rows)
    return spent_by(connection) - before


def spent_by(connection: psycopg.Connection[object]) -> int:
    """Return the CPU time of the connection's backend so far, in nanoseconds."""
    value(connection, "SELECT 1")  # what came before is done and counted
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text(encoding="ascii").split()[0])


def compared(spent: dict[str, list[int]]) -> Iterator[Ratio]:
    """Compare each variant with the plain table, round by round; the middle round counts."""
    plain = median(spent["plain"]) / ROWS / 1000
    bounds = {"plain_again": ("the same table again", 1.02), "checks": ("all CHECKs and NOT NULLs", 1.08)}
    bounds["checks_and_index"] = ("and the unique index", 1.15)
    for variant, (words, bound) in bounds.items():
        pairs = [ours / other for ours, other in zip(spent[variant], spent["plain"], strict=True)]
        ours = plain * median(pairs)
        yield Ratio(f"CPU of an insert: {words}", "a plain table", ours, plain, "µs/row", bound)
