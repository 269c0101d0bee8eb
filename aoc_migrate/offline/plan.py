"""`plan`: what an upgrade or a downgrade would run, with its locks, scans and sizes; or the psql script for it."""

import re

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.ddl.printing import STRONG, Script
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.settings import Limits
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.cost import Costs, Kind, kind, measure, sizes, wal
from aoc_migrate.inspect.verify import MENDABLE
from aoc_migrate.offline.job import Job, downgrade_job, upgrade_job
from aoc_migrate.offline.script import script
from aoc_migrate.report.model import Report
from aoc_migrate.run import hold
from aoc_migrate.run.common import catalog_findings
from aoc_migrate.run.history import contract_at, position, resolve
from aoc_migrate.run.rendering import render_script

PARTS = (
    "SHARE UPDATE EXCLUSIVE on one partition at a time; for an instant SHARE on the table and ACCESS EXCLUSIVE on "
    "each new index"
)


def run_plan(session: Session, report: Report, wanted: str) -> None:
    """Tell what ``wanted`` (a revision, relative or not) would run from where the database is."""
    target = session.target.name
    job = planned(target, report.revision, wanted)
    highest = max(job.start, job.goal)
    contract = contract_at(target, job.name(highest) if highest else None)
    report.facts |= {"direction": job.function, "from": job.name(job.start), "to": job.name(job.goal)}
    report.facts["longest_stall_ms"] = session.limits.max_stall * 1000
    costs = measure(session, contract)
    report.facts |= _sizes(session, contract, costs)
    left = [step for step in _wanted(session, report, job) if not _stands(session, contract, step)]
    left = on_partitions(left, job) if is_partitioned(session, contract.table) else left
    report.facts["plan"] = [{**step, **_cost(contract, step, costs)} for step in left]
    if costs:
        report.facts |= _whole(report.facts["plan"]) | _wal(session, contract, costs, left)
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
    """Return revision, statement and lock of each step in order."""
    found: list[Row] = []
    for revision in job.revisions:
        into = Script(limits)
        render_script(revision, job.function, into, None)
        found += [{"revision": revision.id, **step} for step in into.steps]
    return found


def _wanted(session: Session, report: Report, job: Job) -> list[Row]:
    """Return the steps, and those below where the database is only where what they made is lacking."""
    lacking = any(finding.slug in MENDABLE for finding in catalog_findings(session, report.revision))
    found = steps(job, session.limits)
    return [s for s in found if job.down or lacking or position(job.target, s["revision"]) > job.start]


def _cost(contract: Contract, step: Row, costs: Costs | None) -> Row:
    """Return what a step reads and writes, and as far as that is known, how many bytes and for how long."""
    statement = str(step["statement"])
    of = kind(contract, statement)
    told: Row = {"reads": of.reads, "writes": of.writes}
    if costs:
        told |= {"size_bytes": costs.size(contract, statement)}
        estimated = costs.estimate(contract, statement)
        told |= {"estimated_ms": None if estimated is None else round(estimated)}
    return told


def _whole(plan: list[Row]) -> Row:
    """Return how long the steps will take together; audit before and verify after come on top."""
    return {"estimated_seconds": round(sum(step["estimated_ms"] or 0 for step in plan) / 1000, 1)}


def _wal(session: Session, contract: Contract, costs: Costs, left: list[Row]) -> Row:
    """Return what the backfill writes ahead, where it is among the steps, and what compression would leave."""
    if all(kind(contract, str(step["statement"])) is not Kind.LINK for step in left):
        return {}
    compression = session.value("SHOW wal_compression")
    return {"links_estimated": costs.links, "wal_compression": compression, **wal(costs)}


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


def _sizes(session: Session, contract: Contract, costs: Costs | None) -> Row:
    """Return rows and bytes of the raw table, and bytes that the two indexes will need.

    Rows are PostgreSQL's estimate; an index entry is estimated from 1,000 rows or so: its columns, 8 bytes of
    header and 4 of pointer, pages filled to 90 % (PostgreSQL 15 manual, 67.4 and CREATE INDEX).
    """
    table = contract.table
    if catalog.kind(session, table) is None:
        return {"rows_estimated": 0}
    known = sizes(session, table)
    rows = costs.rows if costs else known["rows"]
    room = 0
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, table, index) != "valid":
            room += _room(session, table, [column.split()[0] for column in index.columns], rows)
    partitions = {"partitions": known["partitions"]} if is_partitioned(session, table) else {}
    return partitions | {
        "rows_estimated": rows,
        "table_bytes": known["main_bytes"],
        "with_documents_and_indexes_bytes": known["total_bytes"],
        "new_indexes_estimated_bytes": room,
    }


def _room(session: Session, table: str, columns: list[str], rows: int) -> int:
    width = " + ".join(f"coalesce(pg_column_size({column}), 0)" for column in columns)
    sampled = session.value(
        f"SELECT avg({width}) FROM (SELECT * FROM {session.schema[table]} LIMIT 1000) AS sample"
    )
    return int(rows * (float(sampled or 0) + 12) / 0.9)
