"""Audit and verify compared with the same question in plain SQL, and with reads and a sort of the same columns."""

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
from scripts.benchmarks.proof import DOCUMENT, SMALL
from scripts.benchmarks.results import Ratio, best, in_turn, seconds

RAW = Relation("public", TABLE)
KEY = ", ".join(f"count({column})" for column in ADVISORY_RAW.idempotency_key)
SCAN = f"SELECT {KEY} FROM {RAW}"
GROUPS = f"SELECT {', '.join(ADVISORY_RAW.idempotency_key)} FROM {RAW} GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
VALUES = f"SELECT count(*) FROM {RAW} WHERE {SMALL} AND {DOCUMENT}"
LAG = f"""SELECT count(*) FROM (SELECT {ADVISORY_RAW.link} AS old, lag(id) OVER (
    PARTITION BY {", ".join(ADVISORY_RAW.chain_key)} ORDER BY {", ".join(ADVISORY_RAW.chain_order)}) AS expected
  FROM {RAW}) AS linked WHERE old IS DISTINCT FROM expected"""
CHAIN = (*ADVISORY_RAW.chain_key, "retrieved_at", "id", "supersedes")
ORDER = ", ".join((*(f'{column} COLLATE "C"' for column in ADVISORY_RAW.chain_key), *ADVISORY_RAW.chain_order))
SORT = f"SELECT count(supersedes) FROM (SELECT {', '.join(CHAIN)} FROM {RAW} ORDER BY {ORDER} OFFSET 0) AS sorted"


def measure(lab: Lab) -> Iterator[Ratio]:
    """Measure duplicates without and with an index, the row rules, then the chain."""
    name = lab.clone(lab.legacy(), "audits")
    target = Target("concelier", lab.server.url(name))
    with connect(target, "bench", Limits(), Flags()) as session:
        yield from duplicates(session, "duplicate audit", 1, 3)
        yield rows(session)
    with lab.connect(name) as connection:  # not a unique one, which would prove the key without a read
        connection.execute(
            f"CREATE INDEX bench_key ON {TABLE} ({', '.join(ADVISORY_RAW.idempotency_key)})".encode()
        )
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
    with connect(target, "bench", Limits(), Flags()) as session:
        yield from duplicates(session, "duplicate audit with an index", 1.2, 1.7)
    with lab.connect(name) as connection:
        connection.execute(b"DROP INDEX bench_key")
    lab.aoc(name, "upgrade", "concelier")
    with lab.connect(name) as connection:
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
    with connect(target, "bench", Limits(), Flags()) as session:
        yield from chain(session)
        yield broken(lab, name, session)
    lab.drop(name)


def duplicates(session: Session, what: str, of_groups: float, of_scan: float) -> Iterator[Ratio]:
    """Compare a duplicate audit that finds nothing with one GROUP BY, and with a scan that groups nothing."""

    def audit() -> None:
        assert not list(audit_duplicates(session, ADVISORY_RAW, 200, None))

    ours, groups, scan = in_turn(9, audit, lambda: plain(session, GROUPS), lambda: by_table(session, SCAN))
    yield Ratio(what, "one GROUP BY with HAVING", ours, groups, "s", of_groups)
    yield Ratio(what, "a scan of the key columns", ours, scan, "s", of_scan)


def rows(session: Session) -> Ratio:
    """Compare all row rules with a read of the same values."""
    checks = [*ADVISORY_RAW.row_checks(), ADVISORY_RAW.document_check()]

    def audit() -> None:
        required = list(ADVISORY_RAW.required)
        assert not list(audit_rows(session, ADVISORY_RAW, checks, required, 200))

    ours, other = in_turn(3, audit, lambda: by_table(session, VALUES))
    return Ratio("all row rules of the audit", "a read of the same values", ours, other, "s", 3)


def chain(session: Session) -> Iterator[Ratio]:
    """Compare the check of every link, alone and with the facts of verify, with plain SQL and a sort."""

    def check() -> None:
        assert not list(inspect_chain(session, ADVISORY_RAW, None, 200))

    def with_facts() -> None:
        assert not verify_chain(session, ADVISORY_RAW, None, 200, Scope())[0]

    ours, facts, query, sort = in_turn(
        5, check, with_facts, lambda: plain(session, LAG), lambda: by_table(session, SORT)
    )
    yield Ratio("chain check", "one window query", ours, query, "s", 1)
    for what, took, bound in (("chain check", ours, 0.6), ("chain check, with facts", facts, 0.8)):
        yield Ratio(what, "a scan and a sort of its columns", took, sort, "s", bound)


def broken(lab: Lab, database: str, session: Session) -> Ratio:
    """Compare the whole check of a table with one broken link, with the same where every link is right."""
    link, raw = ADVISORY_RAW.link, str(RAW)
    with lab.connect(database) as connection:
        query = f"SELECT id, {link} FROM {raw} WHERE {link} IS NOT NULL ORDER BY id LIMIT 1"
        (row,) = connection.execute(query.encode()).fetchall()

        def checked(value: str | None, slugs: list[str]) -> float:
            connection.execute(f"UPDATE {raw} SET {link} = %s WHERE id = %s".encode(), (value, row[0]))

            def check() -> None:
                found, _ = verify_chain(session, ADVISORY_RAW, None, 200, Scope())
                assert [finding.slug for finding in found] == slugs

            return seconds(check)

        one, none = best(lambda: checked(None, ["chain-broken"]), lambda: checked(row[1], []), times=5)
    what = "chain check, with facts and findings, one link broken"
    return Ratio(what, "the same, every link right", one, none, "s", 1.5)


def plain(session: Session, query: str) -> None:
    """Run what somebody would write, with the memory of the audit and whatever plan PostgreSQL chooses."""
    with session.transaction():
        session.run(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
        session.rows(query)


def by_table(session: Session, query: str) -> None:
    """Run a query with the memory of the audit, but without indexes."""
    with session.transaction():
        session.run(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
        session.run("SET LOCAL enable_indexscan = off")
        session.run("SET LOCAL enable_indexonlyscan = off")
        session.row(query)
