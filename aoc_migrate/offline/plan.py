"""`plan`: what an upgrade or a downgrade would run, with its locks, scans and sizes; or the psql script for it."""

import re
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.printing import STRONG, Script
from aoc_migrate.database.partitions import FAMILY, is_partitioned
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.settings import Limits
from aoc_migrate.errors import AocError
from aoc_migrate.offline.job import Job, downgrade_job, upgrade_job
from aoc_migrate.offline.script import script
from aoc_migrate.report.model import Report
from aoc_migrate.run import hold
from aoc_migrate.run.history import contract_at, position, resolve
from aoc_migrate.run.rendering import render_script

_READS = {"VALIDATE": "one scan of the table", "CREATE": "two scans of the table", "link": "one pass in order"}

PARTS = (
    "SHARE UPDATE EXCLUSIVE on one partition at a time; for an instant SHARE on the table and ACCESS EXCLUSIVE on "
    "each new index"
)


def run_plan(session: Session, report: Report, wanted: str) -> None:
    """Tell what ``wanted`` (a revision, relative or not) would run from where the database is."""
    target = session.target.name
    job = planned(target, report.revision, wanted)
    contract = contract_at(target, job.name(max(job.start, job.goal)))
    report.facts |= {"direction": job.function, "from": job.name(job.start), "to": job.name(job.goal)}
    report.facts["longest_stall_ms"] = session.limits.max_stall * 1000
    report.facts |= sizes(session, contract)
    left = [step for step in steps(job, session.limits) if not _stands(session, contract, step)]
    report.facts["plan"] = on_partitions(left, job) if is_partitioned(session, contract.table) else left
    held = hold.read(session)
    if held:
        report.findings.append(hold.finding(session, held))
    verb = f"aoc-migrate {job.function} {target}"
    report.next = f"aoc-migrate audit {target}" if not job.down else f"{verb} {job.name(job.goal)}"


def planned(target: str, current: str | None, wanted: str) -> Job:
    """Return the job that leads from ``current`` to ``wanted``. Raises AocError (exit 2) for nonsense."""
    goal = resolve(target, wanted, current)
    make = upgrade_job if position(target, goal) >= position(target, current) else downgrade_job
    return make(target, current, goal)


def between(target: str, words: str) -> Job:
    """Return the job for ``FROM:TO``, for a database that cannot be reached from here."""
    start, _, goal = words.partition(":")
    if re.match(r"[+-]", start) or re.match(r"[+-]", goal):
        raise AocError(f"{words!r}: without a connection, a relative revision is relative to nothing. Name both.")
    return planned(target, resolve(target, start or "base", None), goal or "head")


def refuse_partitioned(session: Session, table: str) -> None:
    """Raise AocError (exit 2) for a partitioned table: a script cannot go from partition to partition."""
    if is_partitioned(session, table):
        raise AocError(
            f"{table} is partitioned, and psql scripts do not build indexes partition by partition: "
            "run the command itself (aoc-migrate upgrade, downgrade, constraints)."
        )


def sql(job: Job, limits: Limits, schema: str, owner: str | None) -> str:
    """Return the psql script of a job."""
    return script(job, Script(limits), schema, owner)


def steps(job: Job, limits: Limits) -> list[Row]:
    """Return revision, statement, lock and what is read, of each step in order."""
    found: list[dict[str, Any]] = []
    for revision in job.revisions:
        into = Script(limits)
        render_script(revision, job.function, into, None)
        for step in into.steps:
            first = step["statement"].split()[0]
            kind = "VALIDATE" if "VALIDATE" in step["statement"] else first
            found.append({"revision": revision.id, **step, "reads": _READS.get(kind, "nothing")})
    return found


def on_partitions(found: list[Row], job: Job) -> list[Row]:
    """Return the steps as they are on a partitioned table, whose indexes cannot be made or dropped as a whole."""
    told = []
    for step in found:
        verb, _, rest = step["statement"].partition(" INDEX CONCURRENTLY ")
        if not rest:
            told.append(step)
        elif verb != "DROP":
            told.append(step | {"statement": f"{verb} INDEX {rest}, on each partition", "lock": PARTS})
        elif job.down:
            told.append(step | {"statement": f"DROP INDEX {rest}", "lock": STRONG})
    return told


def _stands(session: Session, contract: Contract, step: Row) -> bool:
    """Return whether nothing is left to do for a step of an upgrade, as far as the catalog tells beforehand."""
    statement = str(step["statement"])
    if "ADD COLUMN" in statement:
        return contract.link in catalog.columns(session, contract.table)
    for index in (contract.idempotency_index(), contract.chain_index()):
        if f"INDEX CONCURRENTLY {index.name}" in statement and not statement.startswith(
            "DROP INDEX CONCURRENTLY IF"
        ):
            state = catalog.index_state(session, contract.table, index)
            return state != "invalid" if statement.startswith("DROP") else state == "valid"
    return False


def sizes(session: Session, contract: Contract) -> Row:
    """Return rows and bytes of the raw table, and bytes that the two indexes will need.

    Rows are PostgreSQL's estimate; an index entry is estimated from 1,000 rows or so: its columns, 8 bytes of
    header and 4 of pointer, pages filled to 90 % (PostgreSQL 15 manual, 67.4 and CREATE INDEX).
    """
    table = contract.table
    if catalog.kind(session, table) is None:
        return {"rows_estimated": 0}
    known = session.row(
        "SELECT coalesce(sum(greatest(reltuples, 0)) FILTER (WHERE relkind <> 'p'), 0)::bigint AS rows, "
        "sum(pg_relation_size(oid))::bigint AS main, sum(pg_total_relation_size(oid))::bigint AS whole, "
        "count(*) FILTER (WHERE relispartition AND relkind <> 'p') AS partitions "
        f"FROM pg_class JOIN {FAMILY} AS family USING (oid)",
        (table, table),
    )
    room = 0
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, table, index) != "valid":
            room += _room(session, table, [column.split()[0] for column in index.columns], known["rows"])
    partitions = {"partitions": known["partitions"]} if is_partitioned(session, table) else {}
    return partitions | {
        "rows_estimated": known["rows"],
        "table_bytes": known["main"],
        "with_documents_and_indexes_bytes": known["whole"],
        "new_indexes_estimated_bytes": room,
    }


def _room(session: Session, table: str, columns: list[str], rows: int) -> int:
    width = " + ".join(f"coalesce(pg_column_size({column}), 0)" for column in columns)
    sampled = session.value(f"SELECT avg({width}) FROM (SELECT * FROM {table} LIMIT 1000) AS sample")
    return int(rows * (float(sampled or 0) + 12) / 0.9)
