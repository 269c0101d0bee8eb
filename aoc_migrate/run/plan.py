"""`plan`: what an upgrade or a downgrade would run, with locks, scans and sizes; or the psql script for it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.hidden_replicas import hidden_replicas
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import is_partitioned
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.targets import Target, read_schema_and_owner
from aoc_migrate.errors import refused
from aoc_migrate.inspect.cost import Costs, Effect, briefly, measure, wal
from aoc_migrate.inspect.index_room import index_room
from aoc_migrate.inspect.table_size import TableSize, stale_statistics, table_size
from aoc_migrate.operations.execute import remarks_on
from aoc_migrate.operations.step import BUILDS, Kind, Printed, Step, shown
from aoc_migrate.operations.supersedes.staged import exceeds_cache, staged_bytes
from aoc_migrate.psql.script import script
from aoc_migrate.psql.script_steps import Job, downgrade_job, upgrade_job
from aoc_migrate.report.facts.planning import BoundFacts, PlanFacts, PlannedStep
from aoc_migrate.report.json import report_data
from aoc_migrate.report.model import Next, Report
from aoc_migrate.revisions.current import links_set_back, lost_links
from aoc_migrate.revisions.graph import contract_at, position, resolve
from aoc_migrate.revisions.objections import objections
from aoc_migrate.revisions.revision_sql import collect
from aoc_migrate.run import hold
from aoc_migrate.run.approved_plan import seal
from aoc_migrate.run.plan_check import bound
from aoc_migrate.run.plan_lines import lines
from aoc_migrate.run.target_run import Options, on_target, put_work

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
_RESTORING = (Kind.INVALIDATE, Kind.DROP_NOT_NULL, Kind.INVALIDATE_NOT_NULL)
_FOLLOWS = (Kind.VALIDATE, Kind.DROP_CHECK)


def run_plan(session: Session, report: Report, revision: str, file: str | None = None) -> None:
    """Report what going to ``revision``, absolute or relative, would run.

    ``file``: the JSON file that the report will be written to, for `upgrade --plan`. Without one, a plan does not
    wait for a table that is locked. Raises Abort ``deadline`` (exit 3) if it waited too long for the file's sake.
    """
    target = session.target.name
    job = job_to(target, report.revision, revision, links=links_set_back(session, report.revision))
    highest = max(job.start, job.goal)
    contract = contract_at(target, job.name(highest) if highest else None)
    binding = None if job.down else _binding(session, job, contract, file)  # first: a later change is a difference
    remaining = list(_remaining(session, job))
    linking = any(step.kind is Kind.LINK for _, group in remaining for step in group)
    costs, size = measure(session, contract, links=linking), _size(session, contract.table)
    partitioned = session if is_partitioned(session, contract.table) else None
    planned = [line for group in remaining for line in lines(contract, *group, costs, partitioned)]
    facts = PlanFacts(
        job.function,
        job.name(job.start),
        job.name(job.goal),
        stall_at_most_ms=session.limits.max_stall * 1000,
        rows_estimated=_rows(session, contract.table, costs, size),
        plan=tuple(planned),
        **_sizes(session, contract, costs, size),
    )
    if costs:
        facts = replace(facts, time_estimated_seconds=_total(planned))
        facts = replace(facts, **_links(session, contract, costs, facts.new_indexes_estimated_bytes or 0))
    report.put(facts)
    if size and planned:
        report.findings += stale_statistics(session, contract.table, size, measured=costs is not None)
    report.findings += hidden_replicas(session) if linking else []
    report.findings += [found for _, group in remaining for found in remarks_on(session, group)]
    report.findings += lost_links(session, report.revision, job.name(job.goal) if job.goal else None)
    report.findings += hold.findings(session)
    report.findings += objections(session, job.revisions, job.function) if job.down else []
    if binding:
        put_work(session, report)  # before the seal, which covers all facts
        report.put(binding)
        report.put(replace(binding, plan_digest=seal(__version__, report_data(report))))
    report.next = _next(target, job, file)


def _binding(session: Session, job: Job, contract: Contract, file: str | None) -> BoundFacts | None:
    if file is None:
        return briefly(session, partial(bound, session, job))
    with bounded_lock_wait(session, contract.table, "plan"):
        return bound(session, job)


def _next(target: str, job: Job, file: str | None) -> Next:
    if job.down:
        return Next(f"aoc-migrate downgrade {target} {job.name(job.goal)}")
    choices = (f"aoc-migrate upgrade {target} --plan {shlex.quote(file)}",) if file else ()
    note = "Once the plan is approved, upgrade --plan runs what it says, or nothing." if file else ""
    return Next(f"aoc-migrate audit {target}", choices, note)


def job_to(target: str, current: str | None, revision: str, *, links: bool = True) -> Job:
    """Return the job from ``current`` to ``revision``. Raises Abort (exit 2) for an unknown revision."""
    goal = resolve(target, revision, current)
    down = position(target, goal) < position(target, current)
    return downgrade_job(target, current, goal) if down else upgrade_job(target, current, goal, links=links)


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
        _refuse_spread(session, contract_at(target.name, report.revision).table)
        jobs.append(job_to(target.name, report.revision, revision))

    report = on_target(target, "plan", options, find)
    if report.errors:
        return report, ""
    return report, script(jobs[0], options.limits, target.schema, target.table_owner)


def _refuse_spread(session: Session, table: str) -> None:
    """Raise Abort (exit 2) for a spread table: a script cannot work partition by partition, or shard by shard."""
    spread, use = spread_of(session, table), "Use aoc-migrate upgrade, downgrade or constraints instead."
    if spread.placement:
        raise refused(f"Citus manages {table}, and a psql script cannot change it shard by shard. {use}")
    if spread.partitioned:
        raise refused(
            f"{table} is partitioned, and a psql script cannot build indexes one partition at a time. {use}"
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
            down = job.down and not applied
            needed = _recorded(session, group) if down else _needed(session, group, added, applied=applied)
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


def _recorded(session: Session, group: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the Steps of a downgrade without those that have nothing to restore, as far as this role may know."""
    asked = [step for step in group if step.kind in _RESTORING]
    if not asked or not catalog.may_read(session, STATE):
        return group
    with own_tables_locked(session, STATE):
        row = session.row("SELECT " + ", ".join(f"({step.needed}) AS n{n}" for n, step in enumerate(asked)))
    done = [step for n, step in enumerate(asked) if not row[f"n{n}"]]
    return tuple(step for step in group if step not in done)


def _size(session: Session, table: str) -> TableSize | None:
    """Return the size of the table; None if it is missing or locked."""
    if catalog.kind(session, table) is None:
        return None
    return briefly(session, partial(table_size, session, table))


def _rows(session: Session, table: str, costs: Costs | None, size: TableSize | None) -> int | None:
    """Return the rows of the table; None if it is there, but nothing is known of them."""
    if costs:
        return costs.rows
    if size:
        return size.rows
    return 0 if catalog.kind(session, table) is None else None


def _total(planned: list[PlannedStep]) -> float | None:
    """Return the seconds of all lines, or None if one that reads rows has no estimate."""
    if any(line.reads != Effect.INSTANT.value and line.estimated_ms is None for line in planned):
        return None
    return sum(round(line.estimated_ms or 0) for line in planned) / 1000


def _links(session: Session, contract: Contract, costs: Costs, new_indexes: int) -> Row:
    """Return how many links the backfill writes, and the room that it needs for WAL and for staging them."""
    if (links := costs.links) is None:
        return {}
    known = {"links_at_most": links.most} if links.estimated is None else {"links_estimated": links.estimated}
    if exceeds_cache(session, contract, new_indexes):
        known["backfill_staging_at_most_bytes"] = staged_bytes(links.most, costs.id_bytes)
    return known | {"wal_compression": session.value("SHOW wal_compression"), **wal(links.most)}


def _sizes(session: Session, contract: Contract, costs: Costs | None, size: TableSize | None) -> Row:
    """Return the bytes of the raw table and, if it was measured, those that missing indexes will need."""
    if size is None:
        return {}
    facts: Row = {"partitions": size.partitions} if is_partitioned(session, contract.table) else {}
    if costs:
        room = partial(index_room, session, contract, size, costs.rows, costs.entry_bytes)
        facts["new_indexes_estimated_bytes"] = briefly(session, room)
    return facts | {
        "table_bytes": size.main_bytes,
        "with_documents_and_indexes_bytes": size.total_bytes,
    }
