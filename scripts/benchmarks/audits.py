"""Audit and verify compared with plain reads and sorts of the same columns."""

from collections.abc import Iterator

from aoc_migrate.contract.v1 import ADVISORY_RAW
from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session, connect
from aoc_migrate.database.table_scan import SORT_MEMORY
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.chain_links import inspect_chain, verify_chain
from aoc_migrate.inspect.chain_scope import Scope
from aoc_migrate.inspect.duplicates import audit_duplicates
from aoc_migrate.inspect.row_rules import audit_rows
from scripts.benchmarks.lab import TABLE, Lab
from scripts.benchmarks.results import Ratio, in_turn

RAW = Relation("public", TABLE)
KEY = ", ".join(f"count({column})" for column in ADVISORY_RAW.idempotency_key)
SCAN = f"SELECT {KEY} FROM {RAW}"
CHAIN = (*ADVISORY_RAW.chain_key, "retrieved_at", "id", "supersedes")
ORDER = ", ".join((*(f'{column} COLLATE "C"' for column in ADVISORY_RAW.chain_key), *ADVISORY_RAW.chain_order))
SORT = f"SELECT count(supersedes) FROM (SELECT {', '.join(CHAIN)} FROM {RAW} ORDER BY {ORDER} OFFSET 0) AS sorted"


def measure(lab: Lab) -> Iterator[Ratio]:
    """Measure duplicates without and with an index, the row rules, then the chain."""
    name = lab.clone(lab.legacy(), "audits")
    target = Target("concelier", lab.server.url(name))
    with connect(target, "bench", Limits(), Flags()) as session:
        yield duplicates(session, "duplicate audit", 3)
        yield rows(session)
    with lab.connect(name) as connection:  # not a unique one, which would prove the key without a read
        connection.execute(
            f"CREATE INDEX bench_key ON {TABLE} ({', '.join(ADVISORY_RAW.idempotency_key)})".encode()
        )
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
    with connect(target, "bench", Limits(), Flags()) as session:
        yield duplicates(session, "duplicate audit with an index", 1.7)
    with lab.connect(name) as connection:
        connection.execute(b"DROP INDEX bench_key")
    lab.aoc(name, "upgrade", "concelier")
    with lab.connect(name) as connection:
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
    with connect(target, "bench", Limits(), Flags()) as session:
        yield from chain(session)
    lab.drop(name)


def duplicates(session: Session, what: str, bound: float) -> Ratio:
    """Compare a duplicate audit that finds nothing with a scan of the same columns."""

    def audit() -> None:
        assert not list(audit_duplicates(session, ADVISORY_RAW, 200, None))

    ours, other = in_turn(9, audit, lambda: by_table(session, SCAN))
    return Ratio(what, "a scan of the key columns", ours, other, "s", bound)


def rows(session: Session) -> Ratio:
    """Compare all row rules with a read of every document."""
    checks = [*ADVISORY_RAW.row_checks(), ADVISORY_RAW.document_check()]
    document = f"SELECT count(*) FROM {RAW} WHERE jsonb_typeof({ADVISORY_RAW.document}) = 'object'"

    def audit() -> None:
        required = list(ADVISORY_RAW.required)
        assert not list(audit_rows(session, ADVISORY_RAW, checks, required, 200))

    ours, other = in_turn(3, audit, lambda: by_table(session, document))
    return Ratio("all row rules of the audit", "a read of every document", ours, other, "s", 3)


def chain(session: Session) -> Iterator[Ratio]:
    """Compare the check of every link, alone and with the facts of verify, with a sort of the same columns."""

    def check() -> None:
        assert not list(inspect_chain(session, ADVISORY_RAW, None, 200))

    def with_facts() -> None:
        assert not verify_chain(session, ADVISORY_RAW, None, 200, Scope())[0]

    ours, facts, sort = in_turn(5, check, with_facts, lambda: by_table(session, SORT))
    floor = "a scan and a sort of its columns"
    yield Ratio("chain check", floor, ours, sort, "s", 0.6)
    yield Ratio("chain check, with facts", floor, facts, sort, "s", 0.8)


def by_table(session: Session, query: str) -> None:
    """Run a floor with the settings of the audit, but without indexes."""
    with session.transaction():
        session.run(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
        session.run("SET LOCAL enable_indexscan = off")
        session.run("SET LOCAL enable_indexonlyscan = off")
        session.row(query)
