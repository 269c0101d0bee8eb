"""`plan`: what an upgrade or a downgrade would run, with locks, scans and sizes; or the psql script for it."""

import re
from collections.abc import Iterator
from dataclasses import replace

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.targets import Target, read_schema_and_owner
from aoc_migrate.errors import refused
from aoc_migrate.inspect.cost import Costs, Effect, effect_on, measure, sizes, wal
from aoc_migrate.operations.execute import remarks_on
from aoc_migrate.operations.step import BUILDS, Kind, Lock, Printed, Step, shown, strongest, title
from aoc_migrate.psql.script import script
from aoc_migrate.psql.script_steps import Job, downgrade_job, upgrade_job
from aoc_migrate.report.facts.planning import PlanFacts, PlannedStep
from aoc_migrate.report.model import Next, Report
from aoc_migrate.revisions.current import lost_links
from aoc_migrate.revisions.graph import contract_at, position, resolve
from aoc_migrate.revisions.objections import objections
from aoc_migrate.revisions.revision_sql import collect
from aoc_migrate.run import hold
from aoc_migrate.run.target_run import Options, on_target

_INDEPENDENT = (
    Kind.CREATE_TABLE,
    Kind.ADD_COLUMN,
    Kind.CREATE_FUNCTION,
    Kind.GRANT_EXECUTE,
    Kind.ADD_CHECK,
    Kind.VALIDATE_NOT_NULL,
    *BUILDS,
    Kind.DROP_INDEX,
)
_FOLLOWS = (Kind.VALIDATE, Kind.DROP_CHECK)
PARTITIONS_LOCK = (
    "SHARE UPDATE EXCLUSIVE on one partition at a time; for an instant SHARE on the table and ACCESS EXCLUSIVE on "
    "each new index"
)


def run_plan(session: Session, report: Report, revision: str) -> None:
    """Report what going to ``revision``, absolute or relative, would run."""
    target = session.target.name
    job = job_to(target, report.revision, revision)
    highest = max(job.start, job.goal)
    contract = contract_at(target, job.name(highest) if highest else None)
    costs = measure(session, contract)
    remaining = list(_remaining(session, job))
    partitioned = is_partitioned(session, contract.table)
    facts = PlanFacts(
        job.function,
        job.name(job.start),
        job.name(job.goal),
        longest_stall_ms=session.limits.max_stall * 1000,
        plan=tuple(_planned(contract, *group, costs, partitioned=partitioned) for group in remaining),
        **_sizes(session, contract, costs),
    )
    if costs:
        steps = [step for _, group in remaining for step in group]
        seconds = round(sum(step.estimated_ms or 0 for step in facts.plan) / 1000, 1)
        facts = replace(facts, estimated_seconds=seconds, **_wal(session, contract, costs, steps))
    report.put(facts)
    report.findings += [found for _, group in remaining for found in remarks_on(session, group)]
    report.findings += lost_links(session, report.revision, job.name(job.goal) if job.goal else None)
    report.findings += hold.findings(session)
    report.findings += objections(session, job.revisions, job.function) if job.down else []
    verb = f"aoc-migrate {job.function} {target}"
    report.next = Next(f"{verb} {job.name(job.goal)}" if job.down else f"aoc-migrate audit {target}")


def job_to(target: str, current: str | None, revision: str) -> Job:
    """Return the job from ``current`` to ``revision``. Raises Abort (exit 2) for an unknown revision."""
    goal = resolve(target, revision, current)
    make = upgrade_job if position(target, goal) >= position(target, current) else downgrade_job
    return make(target, current, goal)


def script_between(target: str, span: str, limits: Limits) -> str:
    """Return the psql script for ``FROM:TO``, without a connection.

    Raises Abort (exit 2) for an unknown or relative revision.
    """
    start, _, goal = span.partition(":")
    if not start or not goal:
        raise refused(f"{span!r} names only one end. Write FROM:TO, such as base:head.")
    if re.match(r"[+-]", start) or re.match(r"[+-]", goal):
        raise refused(f"{span!r}: without a connection, revisions cannot be relative. Name both by id.")
    job = job_to(target, resolve(target, start, None), goal)
    return script(job, limits, *read_schema_and_owner(target))


def script_from(target: Target, revision: str, options: Options) -> tuple[Report, str]:
    """Return a report, and the psql script from the database's revision to ``revision``; empty after errors."""
    jobs: list[Job] = []

    def find(session: Session, report: Report) -> None:
        _refuse_partitioned(session, contract_at(target.name, report.revision).table)
        jobs.append(job_to(target.name, report.revision, revision))

    report = on_target(target, "plan", options, find)
    if report.errors:
        return report, ""
    return report, script(jobs[0], options.limits, target.schema, target.table_owner)


def _refuse_partitioned(session: Session, table: str) -> None:
    """Raise Abort (exit 2) for a partitioned table: a script cannot work partition by partition."""
    if is_partitioned(session, table):
        raise refused(
            f"{table} is partitioned, and a psql script cannot build indexes one partition at a time. "
            "Use aoc-migrate upgrade, downgrade or constraints instead."
        )


def _remaining(session: Session, job: Job) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Yield the remaining Steps of each transaction, with their revision.

    For an applied revision these are the Steps that the catalog needs now and the Steps that follow from them: an
    added CHECK is validated, and dropped if it only serves as a proof. For a pending revision these are all Steps
    whose result does not exist yet.
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

    In a pending revision, only Steps that do not depend on earlier ones can be asked about.
    """
    asked = [step for step in group if applied or step.kind in _INDEPENDENT]
    if not asked:
        return group
    conditions = ", ".join(f"({step.needed}) AS n{n}" for n, step in enumerate(asked))
    row = session.row(f"SELECT {conditions}")
    follows = [s for s in asked if s.kind in _FOLLOWS and s.printed is Printed.PLAIN and added & {*s.objects}]
    done = [step for n, step in enumerate(asked) if not row[f"n{n}"] and step not in follows]
    return tuple(step for step in group if step not in done)


def _planned(
    contract: Contract, revision: str, steps: tuple[Step, ...], costs: Costs | None, *, partitioned: bool
) -> PlannedStep:
    """Return the line of a plan for Steps that run together, with size and time if ``costs`` are known."""
    statement, lock = _named(steps, partitioned=partitioned)
    effect = max((effect_on(contract, step) for step in steps), key=list(Effect).index)
    estimated = costs.estimate(contract, steps) if costs else None
    return PlannedStep(
        revision,
        statement,
        lock,
        effect.reads,
        effect.writes,
        size_bytes=costs.size(contract, steps) if costs else None,
        estimated_ms=None if estimated is None else round(estimated),
    )


def _named(steps: tuple[Step, ...], *, partitioned: bool) -> tuple[str, str]:
    """Return the name of Steps in a plan, and their lock. Partitioned tables get their indexes by partition."""
    first = steps[0]
    if partitioned and first.kind in BUILDS:
        unique = "UNIQUE " if first.kind is Kind.BUILD_UNIQUE_INDEX else ""
        name = f"CREATE {unique}INDEX {', '.join(first.objects)} ON {first.relation.name}, on each partition"
        return name, PARTITIONS_LOCK
    if partitioned and first.kind is Kind.DROP_INDEX:
        name = f"{Kind.DROP_INDEX_AT_ONCE.name_in_reports} {', '.join(first.objects)} ON {first.relation.name}"
        return name, Lock.ACCESS_EXCLUSIVE.value
    lock = strongest(steps)
    return title(step for step in steps if step.lock is lock), lock.value


def _wal(session: Session, contract: Contract, costs: Costs, steps: list[Step]) -> Row:
    """Return the WAL that the backfill writes, with and without compression, if it is among ``steps``."""
    if all(effect_on(contract, step) is not Effect.LINK for step in steps):
        return {}
    compression = session.value("SHOW wal_compression")
    return {"links_estimated": costs.links, "wal_compression": compression, **wal(costs)}


def _sizes(session: Session, contract: Contract, costs: Costs | None) -> Row:
    """Return rows and bytes of the raw table, and the bytes that the two indexes will need.

    Rows are PostgreSQL's estimate. The size of an index entry is estimated from 1,000 rows: its columns, 8 bytes
    of header and 4 of pointer, in pages filled to 90 % (PostgreSQL 15 manual, 67.4 and CREATE INDEX).
    """
    table = contract.table
    if catalog.kind(session, table) is None:
        return {"rows_estimated": 0}
    table_sizes = sizes(session, table)
    rows = costs.rows if costs else table_sizes["rows"]
    index_bytes = 0
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, table, index) != "valid":
            index_bytes += _index_bytes(session, table, [column.split()[0] for column in index.columns], rows)
    partitions = {"partitions": table_sizes["partitions"]} if is_partitioned(session, table) else {}
    return partitions | {
        "rows_estimated": rows,
        "table_bytes": table_sizes["main_bytes"],
        "with_documents_and_indexes_bytes": table_sizes["total_bytes"],
        "new_indexes_estimated_bytes": index_bytes,
    }


def _index_bytes(session: Session, table: str, columns: list[str], rows: int) -> int:
    width = " + ".join(f"coalesce(pg_column_size({column}), 0)" for column in columns)
    sampled = session.value(
        f"SELECT avg({width}) FROM (SELECT * FROM {session.schema[table]} LIMIT 1000) AS sample"
    )
    return int(rows * (float(sampled or 0) + 12) / 0.9)
