"""0003 and 0007: how often and how long the table is read, beside a plain read of the same columns."""

import sys
from collections.abc import Iterator, Sequence

import psycopg

from aoc_migrate.contract.model import Check
from aoc_migrate.contract.v1 import ADVISORY_RAW
from scripts.benchmarks.lab import TABLE, Lab, run, value
from scripts.benchmarks.results import Ratio, in_turn

SCANS = f"SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{TABLE}'"


def measure(lab: Lab) -> Iterator[Ratio]:
    """Count the scans of each revision, run by stock Alembic; then time the proofs, in turn with the floors."""
    name = lab.clone(lab.legacy(), "proof")
    stock(lab, name, "concelier_0002")
    with lab.connect(name) as connection:
        before = value(connection, SCANS)
        stock(lab, name, "concelier_0003")
        middle = value(connection, SCANS)
        yield Ratio("scans of 0003", "one", middle - before, 1, "", 1, counted=True)
        stock(lab, name, "concelier_0006")
        before = value(connection, SCANS)
        stock(lab, name, "concelier_0007")
        yield Ratio("scans of 0007", "one", value(connection, SCANS) - before, 1, "", 1, counted=True)
        connection.execute("SET max_parallel_workers_per_gather = 0")  # VALIDATE has no helpers either
        small = ", ".join(f"count({c.name})" for c in ADVISORY_RAW.columns if c.name != ADVISORY_RAW.document)
        yield proven(connection, "0003", ADVISORY_RAW.row_checks(), f"SELECT {small} FROM {TABLE}", 3)
        document = f"SELECT count(*) FROM {TABLE} WHERE jsonb_typeof({ADVISORY_RAW.document}) = 'object'"
        yield proven(connection, "0007", [ADVISORY_RAW.document_check()], document, 1.5)
    lab.drop(name)


def stock(lab: Lab, database: str, revision: str) -> None:
    """Upgrade with stock Alembic, which neither audits nor verifies."""
    command = [sys.executable, "-m", "alembic", "-n", "concelier", "upgrade", revision]
    run(command, CONCELIER_DATABASE_URL=lab.server.url(database))


def proven(
    connection: psycopg.Connection[object], revision: str, checks: Sequence[Check], floor: str, bound: float
) -> Ratio:
    """Take the proof back and give it again, in turn with the floor."""
    names = ", ".join(f"DROP CONSTRAINT IF EXISTS {check.name}" for check in checks)
    adds = ", ".join(f"ADD CONSTRAINT {check.name} CHECK ({check.predicate}) NOT VALID" for check in checks)
    proofs = ", ".join(f"VALIDATE CONSTRAINT {check.name}" for check in checks)

    def unprove() -> None:
        connection.execute(f"ALTER TABLE {TABLE} {names}, {adds}".encode())

    def prove() -> None:
        connection.execute(f"ALTER TABLE {TABLE} {proofs}".encode())

    def read() -> None:
        connection.execute(floor.encode())

    _, ours, other = in_turn(5, unprove, prove, read)
    what = "a read of the small columns" if revision == "0003" else "a read of every document"
    return Ratio(f"proof of {revision}", what, ours, other, "s", bound)
