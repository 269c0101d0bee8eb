"""0003 and 0007: how often and how long the table is read, compared with a plain read of the same values."""

import sys
from collections.abc import Iterator, Sequence
from statistics import median

import psycopg

from aoc_migrate.contract.rules import TIME, Check
from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.relation import Relation
from aoc_migrate.operations.check_steps import add_constraint, sign
from scripts.benchmarks.cpu import counted, shuffled, spent_by
from scripts.benchmarks.lab import TABLE, Lab, run, value
from scripts.benchmarks.results import Ratio, say, seconds

SCANS = f"SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{TABLE}'"
ROUNDS = 7
RAW = Relation("public", TABLE)
DOCUMENT = f"jsonb_typeof({ADVISORY_RAW.document}) = 'object'"
SMALL = " AND ".join(
    [
        *(f"jsonb_typeof({c.name}) = 'object'" for c in ADVISORY_RAW.objects if c.name != ADVISORY_RAW.document),
        *(f"{key} <> ''" for key in ADVISORY_RAW.keys),
        f"isfinite({TIME})",
    ]
)


def measure(lab: Lab) -> Iterator[Ratio]:
    """Run each revision with stock Alembic and count its scans; then undo its proof and repeat it."""
    name = lab.clone(lab.legacy(), "proof")
    stock(lab, name, "concelier_0002")
    with lab.connect(name) as connection:
        connection.execute("SET max_parallel_workers_per_gather = 0")  # VALIDATE has no helpers either
        yield scans(lab, connection, name, "0003")
        checks = (*ADVISORY_RAW.row_checks(), ADVISORY_RAW.required_check())
        yield proven(lab, connection, "0003", checks, ("a read of the same values", SMALL), 5.5)
        connection.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {ADVISORY_RAW.required_check().name}".encode())
        stock(lab, name, "concelier_0006")
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
        yield scans(lab, connection, name, "0007")
        checks = (ADVISORY_RAW.document_check(),)
        yield proven(lab, connection, "0007", checks, ("one detoast of every document", DOCUMENT), 1.5)
    lab.drop(name)


def scans(lab: Lab, connection: psycopg.Connection[object], database: str, revision: str) -> Ratio:
    """Upgrade to a revision; return how often it scans the table."""
    before = value(connection, SCANS)
    stock(lab, database, f"concelier_{revision}")
    return Ratio(f"scans of {revision}", "one", value(connection, SCANS) - before, 1, "", 1, counted=True)


def stock(lab: Lab, database: str, revision: str) -> None:
    """Upgrade with stock Alembic, which neither audits nor verifies."""
    command = [sys.executable, "-m", "alembic", "-n", "concelier", "upgrade", revision]
    run(command, CONCELIER_DATABASE_URL=lab.server.url(database))


def proven(
    lab: Lab,
    connection: psycopg.Connection[object],
    revision: str,
    checks: Sequence[Check],
    floor: tuple[str, str],
    bound: float,
) -> Ratio:
    """Undo a proof and repeat it, in shuffled rounds with the floor: its name and its condition.

    CPU time of the backend counts, where it can be read.
    """
    drops = ", ".join(f"DROP CONSTRAINT IF EXISTS {check.name}" for check in checks)
    adds = ", ".join(add_constraint(RAW, check) for check in checks)
    proofs = ", ".join(f"VALIDATE CONSTRAINT {check.name}" for check in checks)
    cpu = counted(connection)
    if not cpu:
        say(f"proof of {revision}: by the clock, because only Linux shows the CPU time of a backend")

    def timed(statement: str) -> float:
        def act() -> None:
            connection.execute(statement.encode())

        return spent_by(connection, act) if cpu else seconds(act)

    def prove(_: int) -> float:
        connection.execute(f"ALTER TABLE {TABLE} {drops}, {adds}".encode())
        for check in checks:
            connection.execute(sign(RAW, check).encode())
        return timed(f"ALTER TABLE {TABLE} {proofs}")

    def read(_: int) -> float:
        return timed(f"SELECT count(*) FROM {TABLE} WHERE {floor[1]}")

    spent = shuffled(ROUNDS, lab.seed, {"ours": prove, "floor": read})
    ours, other = median(spent["ours"]), median(spent["floor"])
    return Ratio(f"CPU of the proof of {revision}", floor[0], ours, other, "s", bound)
