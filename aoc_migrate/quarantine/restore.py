"""`dedupe --restore` and `repair --restore`: put the rows and links of a run back exactly as they were."""

import math
from functools import partial
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.batch_size import BOUND
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.quarantine.apply import drop_work_list, under_lock_if, usable_contract
from aoc_migrate.quarantine.contents import no_such_rows, saved_runs
from aoc_migrate.quarantine.on_cluster import OnCluster
from aoc_migrate.quarantine.restore_obstacles import repairable, restore_obstacles, unchanged
from aoc_migrate.quarantine.row_batches import AFTER, SIZE, Batch, one_statement, run_batches
from aoc_migrate.quarantine.table import stored_columns
from aoc_migrate.quarantine.work_list import UnfinishedWork, unfinished
from aoc_migrate.report.facts.quarantined import RestoreFacts
from aoc_migrate.report.facts.raw_rows import WorkFacts
from aoc_migrate.report.model import SHOWN, Next, Report, finding
from aoc_migrate.revisions import ledger

_LATEST = 2**63 - 1  # no batch has a higher number


def run_restore(session: Session, report: Report, command: str, run: int | None, *, apply: bool) -> None:
    """Show the latest run in quarantine, or ``run``, whichever command made it; with ``apply``, restore its rows.

    ``command`` is recorded. Raises Abort (exit 2) if there is no such run.
    """
    under_lock_if(session, report, partial(_restore, session, report, command, run, apply=apply), writes=apply)


def _restore(session: Session, report: Report, command: str, run: int | None, *, apply: bool) -> None:
    contract = usable_contract(session, report)
    if contract is None:
        return
    runs, work = saved_runs(session, contract), unfinished(session)
    if run is None and work is not None and not (runs and runs[0].run >= work.run):
        _discard_list(session, report, command, work, apply=apply)
        return
    chosen = next((saved for saved in runs if run in (None, saved.run)), None)
    if chosen is None:
        raise no_such_rows(session, run)
    if chosen.run < runs[0].run:
        later = {"later": runs[0].run, "command": runs[0].command, "target": session.target.name}
        report.findings.append(finding("newer-run-first", contract.quarantine, run=chosen.run, **later))
        return
    report.put(RestoreFacts(chosen.run, chosen.command, chosen.rows, len(runs) - 1))
    rows, stored = f"quarantine_run = {chosen.run}", stored_columns(session, contract)
    with bounded_lock_wait(session, contract.table, "restore"):
        report.findings += restore_obstacles(session, contract, rows, stored)
    if report.errors:
        return
    restore = f"aoc-migrate {chosen.command} {session.target.name} --restore"
    if not apply:
        discards = (
            SHOWN
            if work is None
            else f"{SHOWN} --apply also deletes the work list of the interrupted {work.verb}."
        )
        report.next = Next(choices=(f"{restore} --run {chosen.run} --apply",), note=discards)
        return
    with ledger.recorded(session, report, f"{command} --restore --run {chosen.run} --apply", report.revision):
        drop_work_list(session)
        report.changed = True
        with bounded_lock_wait(session, contract.quarantine, "restore"):
            session.run(f"ANALYZE {session.schema[contract.quarantine]}")  # for the plans of the batches
        cluster = OnCluster.of(session, contract)
        batch = one_statement(session, _batch(session, contract, rows, stored))
        batch = cluster.restore(rows, stored) if cluster else batch
        tables, bound = (contract.quarantine,), BOUND
        if _tied(session, contract):
            batch, bound = partial(_whole, batch), math.inf
        run_batches(session, report, contract, "restored", batch, tables, chosen.rows, _LATEST, bound)
    report.next = Next(f"aoc-migrate audit {session.target.name}", choices=(restore,) if runs[1:] else ())


def _discard_list(session: Session, report: Report, command: str, work: UnfinishedWork, *, apply: bool) -> None:
    """Delete the list of a command that was interrupted before its first batch; without ``apply``, say so."""
    if not apply:
        report.next = Next(
            choices=(f"aoc-migrate {work.verb} {session.target.name} --restore --apply",),
            note=f"The interrupted {work.verb} has moved nothing; this deletes its work list.",
        )
        return
    with ledger.recorded(session, report, f"{command} --restore --apply", report.revision):
        drop_work_list(session)
    report.put(WorkFacts(restored=0))
    report.next = Next(note=f"The interrupted {work.verb} had moved nothing; its work list is now deleted.")


def _tied(session: Session, contract: Contract) -> bool:
    """Return whether a foreign key lets rows refer to each other, so that those of a batch go back together."""
    raw = str(session.schema[contract.table])
    key = f"contype = 'f' AND conrelid IN {FAMILY} AND confrelid IN {FAMILY}"
    return bool(session.value(f"SELECT EXISTS (SELECT FROM pg_constraint WHERE {key})", (raw, raw)))


def _whole(batch: Batch, _size: int | None, after: Any) -> Row:
    return batch(None, after)


def _batch(session: Session, contract: Contract, chosen: str, stored: list[str]) -> str:
    """Return the statement that restores rows of the latest batch. ``left``: how many changed in the meantime.

    It names every column that `restore_obstacles` knew: if one is dropped in the meantime, the batch fails.
    """
    table, name = session.schema[contract.table], session.schema[contract.quarantine]
    columns = ", ".join(stored)
    relinked = "SELECT WHERE false"
    if contract.link in catalog.columns(session, contract.table):
        relinked = (
            f"UPDATE {table} AS p SET {contract.link} = b.id FROM (SELECT id, quarantine_kept AS kept, "
            "unnest(quarantine_links) AS pointing FROM batch) AS b WHERE p.id = b.pointing "
            f"AND p.{contract.link} IS NOT DISTINCT FROM CASE WHEN p.id = b.kept THEN NULL ELSE b.kept END"
        )
    values = ", ".join(
        f"{c} = CASE WHEN b.quarantine_repaired ? '{c}' THEN b.{c} ELSE t.{c} END" for c in repairable(contract)
    )
    return f"""WITH batch AS (
  SELECT * FROM {name} WHERE {chosen} AND (quarantine_run, quarantine_batch) = (
    SELECT quarantine_run, quarantine_batch FROM {name} WHERE {chosen} AND quarantine_batch <= {AFTER}::bigint
    ORDER BY quarantine_run DESC, quarantine_batch DESC LIMIT 1) LIMIT {SIZE}
), stored AS (
  INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
  SELECT {columns} FROM batch WHERE quarantine_repaired IS NULL RETURNING id
), unrepaired AS (
  UPDATE {table} AS t SET {values} FROM batch AS b
  WHERE t.id = b.id AND b.quarantine_repaired IS NOT NULL AND {unchanged(contract, "t", "b")} RETURNING t.id
), relinked AS ({relinked}
), back AS (
  DELETE FROM {name} AS q USING batch AS b, (SELECT id FROM stored UNION ALL SELECT id FROM unrepaired) AS d
  WHERE q.id = b.id AND q.quarantine_run = b.quarantine_run AND b.id = d.id RETURNING q.id
)
SELECT (SELECT count(*) FROM batch) AS seen, (SELECT count(*) FROM back) AS written,
  (SELECT count(*) FROM stored) + (SELECT count(*) FROM unrepaired) AS chosen,
  (SELECT count(*) FROM back) AS arrived,
  (SELECT count(*) FROM batch) - (SELECT count(*) FROM back) AS left,
  (SELECT max(quarantine_batch) FROM batch) AS last"""
