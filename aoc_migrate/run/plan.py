"""`plan`: what an upgrade or a downgrade would run, with its locks, scans and sizes; or the psql script for it."""

import re
from collections.abc import Iterator
from dataclasses import replace

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.targets import Target, read_place
from aoc_migrate.errors import refused
from aoc_migrate.inspect.cost import Costs, Work, measure, sizes, wal, work
from aoc_migrate.operations.step import BUILDS, Kind, Lock, Printed, Step, shown, strongest, title
from aoc_migrate.psql.script import script
from aoc_migrate.psql.script_steps import Job, downgrade_job, upgrade_job
from aoc_migrate.report.facts.planning import PlanFacts, PlannedStep
from aoc_migrate.report.model import Next, Report
from aoc_migrate.revisions.graph import contract_at, position, resolve
from aoc_migrate.revisions.revision_sql import collect
from aoc_migrate.run import hold
from aoc_migrate.run.target_run import Options, on_target

_MADE = (
    Kind.CREATE_TABLE,
    Kind.ADD_COLUMN,
    Kind.CREATE_FUNCTION,
    Kind.GRANT_EXECUTE,
    Kind.ADD_CHECK,
    *BUILDS,
    Kind.DROP_INDEX,
)
_FOLLOWS = (Kind.VALIDATE, Kind.DROP_CHECK)
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
    costs = measure(session, contract)
    left = list(_left(session, job))
    partitioned = is_partitioned(session, contract.table)
    facts = PlanFacts(
        job.function,
        job.name(job.start),
        job.name(job.goal),
        longest_stall_ms=session.limits.max_stall * 1000,
        plan=tuple(_planned(contract, *some, costs, partitioned=partitioned) for some in left),
        **_sizes(session, contract, costs),
    )
    if costs:
        every = [step for _, steps in left for step in steps]
        facts = replace(facts, **_whole(facts.plan), **_wal(session, contract, costs, every))
    report.put(facts)
    held = hold.read(session)
    if held:
        report.findings.append(hold.to_finding(session, held))
    verb = f"aoc-migrate {job.function} {target}"
    report.next = Next(f"{verb} {job.name(job.goal)}" if job.down else f"aoc-migrate audit {target}")


def planned(target: str, current: str | None, wanted: str) -> Job:
    """Return the job that leads from ``current`` to ``wanted``. Raises Abort (exit 2) for nonsense."""
    goal = resolve(target, wanted, current)
    make = upgrade_job if position(target, goal) >= position(target, current) else downgrade_job
    return make(target, current, goal)


def script_between(target: str, words: str, limits: Limits) -> str:
    """Return the psql script for ``FROM:TO``, for a database that cannot be reached from here.

    Raises Abort (exit 2) for nonsense.
    """
    start, _, goal = words.partition(":")
    if re.match(r"[+-]", start) or re.match(r"[+-]", goal):
        raise refused(f"{words!r}: without a connection, revisions cannot be relative. Name both by id.")
    job = planned(target, resolve(target, start or "base", None), goal or "head")
    return script(job, limits, *read_place(target))


def script_from(target: Target, wanted: str, options: Options) -> tuple[Report, str]:
    """Return the psql script from where the database is to ``wanted``; empty where the report has errors."""
    jobs: list[Job] = []

    def find(session: Session, report: Report) -> None:
        _refuse_partitioned(session, contract_at(target.name, report.revision).table)
        jobs.append(planned(target.name, report.revision, wanted))

    report = on_target(target, "plan", options, find)
    if report.errors:
        return report, ""
    return report, script(jobs[0], options.limits, target.schema, target.table_owner)


def _refuse_partitioned(session: Session, table: str) -> None:
    """Raise Abort (exit 2) for a partitioned table: a script cannot go from partition to partition."""
    if is_partitioned(session, table):
        raise refused(
            f"{table} is partitioned, and a psql script cannot build indexes one partition at a time. "
            "Use aoc-migrate upgrade, downgrade or constraints instead."
        )


def _left(session: Session, job: Job) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Yield what is left to do: the Steps of each transaction, with their revision.

    Of revisions that are applied, what the catalog lacks now, and what becomes of that: a CHECK that is added is
    proven, and dropped if it is a passing one. Of the others, all but what is there already.
    """
    owner, added = session.target.table_owner, set[str]()
    for revision in job.revisions:
        applied = job.down == (position(job.target, revision.id) > job.start)
        for group in collect(revision, job.function, session.schema, owner):
            needed = group if job.down and not applied else _needed(session, group, added, applied=applied)
            steps = tuple(step for step in shown(needed) if step.printed is not Printed.NEVER or applied)
            added |= {name for step in steps if step.kind is Kind.ADD_CHECK for name in step.objects}
            if steps:
                yield revision.id, steps


def _needed(session: Session, group: tuple[Step, ...], added: set[str], *, applied: bool) -> tuple[Step, ...]:
    """Return the Steps of a group without those that the catalog does not need.

    What a revision to come needs can only be asked of what it makes: other Steps follow from its first ones.
    """
    asked = [step for step in group if applied or step.kind in _MADE]
    if not asked:
        return group
    conditions = ", ".join(f"({step.needed}) AS n{n}" for n, step in enumerate(asked))
    row = session.row(f"SELECT {conditions}")
    follows = [s for s in asked if s.kind in _FOLLOWS and s.printed is Printed.PLAIN and added & {*s.objects}]
    spare = [step for n, step in enumerate(asked) if not row[f"n{n}"] and step not in follows]
    return tuple(step for step in group if step not in spare)


def _planned(
    contract: Contract, revision: str, steps: tuple[Step, ...], costs: Costs | None, *, partitioned: bool
) -> PlannedStep:
    """Return what a plan says of Steps; as far as that is known, how many bytes they read and for how long."""
    statement, lock = _named(steps, partitioned=partitioned)
    of = max((work(contract, step) for step in steps), key=list(Work).index)
    estimated = costs.estimate(contract, steps) if costs else None
    return PlannedStep(
        revision,
        statement,
        lock,
        of.reads,
        of.writes,
        size_bytes=costs.size(contract, steps) if costs else None,
        estimated_ms=None if estimated is None else round(estimated),
    )


def _named(steps: tuple[Step, ...], *, partitioned: bool) -> tuple[str, str]:
    """Return how a plan names Steps, and their lock; indexes of a partitioned table are not made as a whole."""
    first = steps[0]
    if partitioned and first.kind in BUILDS:
        unique = "UNIQUE " if first.kind is Kind.BUILD_UNIQUE_INDEX else ""
        name = f"CREATE {unique}INDEX {', '.join(first.objects)} ON {first.relation.name}, on each partition"
        return name, PARTS
    if partitioned and first.kind is Kind.DROP_INDEX:
        name = f"{Kind.DROP_INDEX_AT_ONCE.name_in_reports} {', '.join(first.objects)} ON {first.relation.name}"
        return name, Lock.ACCESS_EXCLUSIVE.value
    strong = strongest(steps)
    return title(step for step in steps if step.lock is strong), strong.value


def _whole(plan: tuple[PlannedStep, ...]) -> Row:
    """Return how long the steps will take together; audit before and verify after come on top."""
    return {"estimated_seconds": round(sum(step.estimated_ms or 0 for step in plan) / 1000, 1)}


def _wal(session: Session, contract: Contract, costs: Costs, left: list[Step]) -> Row:
    """Return what the backfill writes ahead, where it is among the steps, and what compression would leave."""
    if all(work(contract, step) is not Work.LINK for step in left):
        return {}
    compression = session.value("SHOW wal_compression")
    return {"links_estimated": costs.links, "wal_compression": compression, **wal(costs)}


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
