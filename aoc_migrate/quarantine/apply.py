"""The mechanism of `dedupe` and `repair`: rows move into quarantine, or are repaired and their originals go there.

A row leaves the raw table, or changes, only in the statement that puts it into quarantine. The rows are listed
once. Each batch shortens the list, and after an interruption the same command continues with the rest.
"""

from collections.abc import Callable

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import FOREIGN, code_findings
from aoc_migrate.database.bookkeeping import WORK
from aoc_migrate.database.events import DELETE, UPDATE
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_name import who
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.relation import literal
from aoc_migrate.database.runner_lock import announce
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.inspect.granting import may_not_hand_over
from aoc_migrate.inspect.partitioning import ambiguous_ids
from aoc_migrate.inspect.session_checks import table_missing, unreadable, write_findings
from aoc_migrate.inspect.table_shape import audit_columns
from aoc_migrate.quarantine.batch_statements import move_batch, repair_batch
from aoc_migrate.quarantine.column_types import changed_types
from aoc_migrate.quarantine.on_cluster import OnCluster
from aoc_migrate.quarantine.row_batches import one_statement, run_batches
from aoc_migrate.quarantine.table import hand_over, make_quarantine, stored_columns
from aoc_migrate.quarantine.work_list import (
    Work,
    guard_findings,
    reference_findings,
    row_constraints,
    table_findings,
    trigger_findings,
    unfinished,
)
from aoc_migrate.report.facts.raw_rows import WorkFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import locked, our_tables
from aoc_migrate.revisions.graph import contract_at


def under_lock_if(session: Session, report: Report, run: Callable[[], None], *, writes: bool) -> None:
    """Call ``run``; if it ``writes``, check our rights first and hold the run lock."""
    if not writes:
        run()
        return
    report.findings += write_findings(session, our_tables(session))
    if not report.errors:
        with locked(session, report):
            run()


def usable_contract(session: Session, report: Report) -> Contract | None:
    """Return the contract in force, or report why its table cannot be used and return None."""
    contract = contract_at(session.target.name, report.revision)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract, report.revision))
        return None
    report.findings += [f for f in audit_columns(session, contract) if f.slug != "forbidden-column"]
    report.findings += unreadable(session, contract.table)
    if not report.errors:  # finding broken rows evaluates the table's CHECKs
        report.findings += [f for f in code_findings(session, contract, UPDATE) if f.slug == FOREIGN]
    if not report.errors:
        report.findings += ambiguous_ids(session, contract, limit=200)
    return None if report.errors else contract


def show_work(
    session: Session,
    report: Report,
    contract: Contract,
    work: Work,
    find: Callable[[], bool],
) -> bool:
    """Report what would be done and what prevents it; return whether there is anything to do.

    ``find`` adds the facts to the report and returns whether it found rows.
    """
    with bounded_lock_wait(session, contract.table, session.command):
        found = find()
        if found:
            report.findings += trigger_findings(session, contract, DELETE | UPDATE)
            report.findings += reference_findings(
                session, contract, f"SELECT id FROM ({work.listed}) AS w WHERE NOT repair"
            )
    report.findings += [*table_findings(session, contract), *changed_types(session, contract)]
    return found


def apply_work(
    session: Session,
    report: Report,
    contract: Contract,
    work: Work,
    find: Callable[[], bool],
) -> None:
    """List the rows and work through the list, or through the rest of it after an interruption.

    The caller holds the lock. See `show_work` for ``find``.
    """
    report.findings += [
        *table_findings(session, contract),
        *changed_types(session, contract),
        *may_not_hand_over(session, contract.table),
    ]
    if report.errors:
        return
    earlier = unfinished(session)
    resumed = earlier is not None and earlier.signature == _signature(session, contract, work)
    if resumed:
        with own_tables_locked(session, WORK):
            report.put(WorkFacts(resumed=session.value(f"SELECT count(*) FROM {session.schema[WORK]}")))
        report.findings += trigger_findings(session, contract, DELETE | UPDATE)
    elif not show_work(session, report, contract, work, find):
        drop_work_list(session)  # of another command
        return
    if report.errors:
        return
    with ledger.recorded(session, report, f"{work.command} --apply", report.revision):
        make_quarantine(session, contract)  # again for the rest of a list: the table may have new columns
        if not resumed:
            _list(session, contract, work, report.run)
        with own_tables_locked(session, WORK):
            leaving = f"SELECT id FROM {session.schema[WORK]} WHERE NOT repair"
            report.findings += reference_findings(session, contract, leaving)
        report.findings += guard_findings(session, contract)
        if not report.errors:
            report.changed = True
            _run_work(session, report, contract, work)
        drop_work_list(session)


def drop_work_list(session: Session) -> None:
    """Drop the work list, if there is one. Raises Abort ``foreign-object``."""
    if catalog.kind(session, WORK) is not None:
        with own_tables_locked(session, WORK, writes=True):
            session.run(f"DROP TABLE {session.schema[WORK]}")


def _signature(session: Session, contract: Contract, work: Work) -> str:
    oid = session.value("SELECT to_regclass(%s)::oid::bigint", (str(session.schema[contract.table]),))
    return f"{work.command}, contract v{contract.version}, table {oid}"


def _list(session: Session, contract: Contract, work: Work, run: int | None) -> None:
    """List the rows in one transaction.

    A ``stuck`` row breaks an existing constraint, so its own link cannot be set while it waits to be moved.
    """
    label = f"list rows of {contract.table}"
    announce(session, label)
    listed, raw = session.schema[WORK], session.schema[contract.table]
    drop_work_list(session)
    with bounded_lock_wait(session, contract.table, label), session.transaction():
        identity = ", ".join(spread_of(session, contract.table).identity)
        session.run(
            f"CREATE TABLE {listed} AS SELECT {identity}, kept, links, reason, repair, refused, false AS stuck "
            f"FROM ({work.listed}) AS w"
        )
        session.run(f"ALTER TABLE {listed} ADD PRIMARY KEY (repair, id)")
        session.run(f"CREATE INDEX ON {listed} (id) WHERE stuck")
        session.run(
            f"UPDATE {listed} SET stuck = true WHERE NOT repair AND id IN (SELECT id FROM {raw} "
            f"WHERE id IN (SELECT id FROM {listed}) AND NOT ({row_constraints(session, contract.table)}))"
        )
        hand_over(session, listed)
        signed = f"{_signature(session, contract, work)}, run {run}"
        session.run(f"COMMENT ON TABLE {listed} IS {literal(signed)}")
    session.run(f"ANALYZE {listed}")


def _run_work(session: Session, report: Report, contract: Contract, work: Work) -> None:
    """Repair before moving: a row that links to a moved one must satisfy the constraints when its link is set."""
    session.set("aoc.run", str(report.run))
    session.set("aoc.by", who())
    columns, tables = stored_columns(session, contract), (contract.quarantine, WORK)
    cluster = OnCluster.of(session, contract)
    with own_tables_locked(session, WORK):
        counts = "count(*) FILTER (WHERE repair) AS repairs, count(*) FILTER (WHERE NOT repair) AS moves"
        listed = session.row(f"SELECT {counts} FROM {session.schema[WORK]}")
    if work.repairing:
        batch = one_statement(session, repair_batch(session, contract, work, columns))
        batch = cluster.repair(work, columns) if cluster else batch
        run_batches(session, report, contract, "repaired", batch, tables, listed["repairs"])
    batch = one_statement(session, move_batch(session, contract, work, columns))
    batch = cluster.move(work, columns) if cluster else batch
    run_batches(session, report, contract, "moved", batch, tables, listed["moves"])
