"""Audit and verify beside plain reads and sorts of the same columns."""

from collections.abc import Iterator

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.settings import Flags, Limits, Target
from aoc_migrate.inspect.chain import inspect_chain
from aoc_migrate.inspect.duplicates import audit_duplicates
from scripts.benchmarks.lab import TABLE, Lab
from scripts.benchmarks.results import Ratio, in_turn

KEY = ", ".join(f"count({column})" for column in ADVISORY_RAW.idempotency_key)
SCAN = f"SELECT {KEY} FROM {TABLE}"
CHAIN = (*ADVISORY_RAW.chain_key, "retrieved_at", "id", "supersedes")
ORDER = ", ".join((*(f'{column} COLLATE "C"' for column in ADVISORY_RAW.chain_key), *ADVISORY_RAW.chain_order))
SORT = f"SELECT count(*) FROM (SELECT {', '.join(CHAIN)} FROM {TABLE} ORDER BY {ORDER} OFFSET 0) AS sorted"


def measure(lab: Lab) -> Iterator[Ratio]:
    """Duplicates without and with an index, then the chain."""
    name = lab.clone(lab.legacy(), "audits")
    target = Target("concelier", lab.server.url(name))

    def audit() -> None:
        assert not list(audit_duplicates(session, ADVISORY_RAW, 200))

    with connect(target, "bench", Limits(), Flags()) as session:
        ours, scan = in_turn(3, audit, lambda: session.row(SCAN))
        yield Ratio("duplicate audit", "a scan of the key columns", ours, scan, "s", 3)
    lab.aoc(name, "upgrade", "concelier")
    with lab.connect(name) as connection:
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
    with connect(target, "bench", Limits(), Flags()) as session:
        ours, scan = in_turn(3, audit, lambda: session.row(SCAN))
        yield Ratio("duplicate audit with the index", "a scan of the key columns", ours, scan, "s", 1.7)
        yield from chain(session)
    lab.drop(name)


def chain(session: Session) -> Iterator[Ratio]:
    """The check of every link, beside reading and sorting what it reads."""

    def check() -> None:
        assert not list(inspect_chain(session, ADVISORY_RAW, None, 200))

    ours, sort = in_turn(3, check, lambda: session.row(SORT))
    yield Ratio("chain check", "a scan and a sort of its columns", ours, sort, "s", 0.6)
