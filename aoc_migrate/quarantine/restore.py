"""`dedupe --restore` and `repair --restore`: put rows and links back exactly as they were, latest run first."""

from functools import partial

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.errors import refused
from aoc_migrate.quarantine.apply import drop_work_list, under_lock_if, usable_contract
from aoc_migrate.quarantine.contents import has_quarantine
from aoc_migrate.quarantine.obstacles import repairable, restore_obstacles, unchanged
from aoc_migrate.quarantine.row_batches import run_batches
from aoc_migrate.quarantine.table import stored_columns
from aoc_migrate.quarantine.work_list import DUPLICATE, unfinished
from aoc_migrate.report.facts.raw_rows import WorkFacts
from aoc_migrate.report.model import Next, Report
from aoc_migrate.revisions import ledger


def run_restore(session: Session, report: Report, command: str, run: int | None) -> None:
    """Restore the rows that ``command`` put into quarantine, of one run or of all."""
    under_lock_if(session, report, partial(_restore, session, report, command, run), writes=True)


def _restore(session: Session, report: Report, command: str, run: int | None) -> None:
    contract = usable_contract(session, report)
    if contract is None:
        return
    name, target = session.schema[contract.quarantine], session.target.name
    if not has_quarantine(session, contract):
        raise refused(f"{target} has no quarantine, because no row was ever moved there.")
    chosen = f"quarantine_reason {'=' if command == 'dedupe' else '<>'} '{DUPLICATE}'"
    chosen += "" if run is None else f" AND quarantine_run = {run}"
    recorded = f"{command} --restore{'' if run is None else f' --run {run}'}"
    with own_tables_locked(session, contract.quarantine):
        any_rows = session.value(f"SELECT EXISTS (SELECT FROM {name} WHERE {chosen})")
    work = unfinished(session)
    if not any_rows:
        if run is not None or work is None or work.verb != command:
            rows = "" if run is None else f" of run {run}"
            raise refused(
                f"The quarantine of {target} has no rows{rows} from {command}. "
                f"See what it has: aoc-migrate quarantine {target}"
            )
        with ledger.recorded(session, report, recorded, report.revision):
            drop_work_list(session)
        report.put(WorkFacts(restored=0))
        report.next = Next(note=f"The interrupted {command} had moved nothing; its work list is now deleted.")
        return
    stored = stored_columns(session, contract)
    with bounded_lock_wait(session, contract.table, "restore"):
        report.findings += restore_obstacles(session, contract, chosen, stored)
    if report.errors:
        return
    with ledger.recorded(session, report, recorded, report.revision):
        drop_work_list(session)
        report.changed = True
        batch = _batch(session, contract, chosen, stored)
        run_batches(session, report, contract, "restored", batch, (contract.quarantine,))
    report.next = Next(f"aoc-migrate audit {target}")


def _batch(session: Session, contract: Contract, chosen: str, stored: list[str]) -> str:
    """Return the statement that restores the latest batch. ``left`` counts rows that changed in the meantime.

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
    SELECT quarantine_run, quarantine_batch FROM {name} WHERE {chosen}
    ORDER BY quarantine_run DESC, quarantine_batch DESC LIMIT 1)
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
  (SELECT count(*) FROM batch) - (SELECT count(*) FROM back) AS left"""
