"""`dedupe`: surplus rows of duplicate groups move into quarantine, and back.

A row leaves the raw table only in the statement that puts it into quarantine. What is to be moved is listed once
for all batches; after an interruption the list is made anew.
"""

from dataclasses import dataclass

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import DEDUPE
from aoc_migrate.database.lock import announce, runner_lock
from aoc_migrate.database.patience import patient
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Row, Session, who
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.columns import audit_columns
from aoc_migrate.inspect.dedupe import DELETE, INSERT, hindrances, look, references, surplus
from aoc_migrate.inspect.partitions import ambiguous_ids
from aoc_migrate.inspect.place import readable, table_missing, writing
from aoc_migrate.report.model import Report, make
from aoc_migrate.run import ledger
from aoc_migrate.run.common import our_tables
from aoc_migrate.run.history import contract_at
from aoc_migrate.run.quarantine import make_quarantine, ours, quarantine, stored_columns

BATCH = 500


@dataclass(frozen=True)
class DedupeOptions:
    """``keep``: earliest or latest. ``different``: move rows too that differ from the one that stays."""

    keep: str = "earliest"
    different: bool = False
    limit: int = 200
    allowed_triggers: tuple[str, ...] = ()


def run_dedupe(session: Session, report: Report, options: DedupeOptions, *, apply: bool) -> None:
    """Show what would move; with ``apply`` move it."""
    contract = _contract(session, report)
    if contract is None:
        return
    with patient(session, contract.table, "dedupe"):
        counts, sample = look(session, contract, options.keep, options.limit)
    report.facts |= {**counts, "stays": options.keep, "duplicates": sample}
    if counts["different"] and not options.different:
        report.findings.append(make("duplicates-differ", contract.table, rows=counts["different"]))
    report.findings += hindrances(session, contract, DELETE, options.allowed_triggers)
    if catalog.kind(session, quarantine(contract)) is not None and not ours(session, contract):
        report.findings.append(make("foreign-object", quarantine(contract)))
    target = session.target.name
    if not apply:
        command = f"dedupe {target} --apply" if counts["surplus"] else f"audit {target}"
        report.next = f"aoc-migrate {command}"
        return
    report.findings += writing(session, our_tables(session))
    if report.errors or not counts["surplus"]:
        return
    with runner_lock(session), ledger.recorded(session, report, f"dedupe --keep {options.keep}", report.revision):
        _list(session, contract, options)
        report.findings += references(session, contract)
        if not report.errors:
            report.changed = True
            report.facts["moved"] = _move(session, contract, report.facts["run"])
        session.run(f"DROP TABLE {DEDUPE}")
    report.next = f"aoc-migrate audit {target}"


def _contract(session: Session, report: Report) -> Contract | None:
    contract = contract_at(session.target.name, report.revision)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract))
        return None
    report.findings += [f for f in audit_columns(session, contract) if f.slug != "forbidden-column"]
    report.findings += readable(session, contract.table)
    if not report.errors:
        report.findings += ambiguous_ids(session, contract, limit=200)
    return None if report.errors else contract


def _list(session: Session, contract: Contract, options: DedupeOptions) -> None:
    """List what is to be moved, and make the quarantine."""
    session.run(f"DROP TABLE IF EXISTS {DEDUPE}")
    session.run(f"CREATE TABLE {DEDUPE} AS {surplus(session, contract, options.keep)}")
    if not options.different:
        session.run(f"DELETE FROM {DEDUPE} WHERE differs <> '{{}}'")
    session.run(f"ALTER TABLE {DEDUPE} ADD PRIMARY KEY (id)")
    make_quarantine(session, contract)


def _move(session: Session, contract: Contract, run: int) -> int:
    """Move the listed rows batch by batch, each in one statement; return how many."""
    table, name = contract.table, quarantine(contract)
    key = contract.idempotency_key
    repoint = "SELECT NULL::text AS id, NULL::text AS was WHERE false"
    if contract.link in catalog.columns(session, table):
        repoint = (
            f"UPDATE {table} AS p SET {contract.link} = CASE WHEN p.id = m.kept THEN NULL ELSE m.kept END "
            "FROM (SELECT l.id, l.kept, unnest(l.links) AS pointing FROM listed l JOIN moved USING (id)) AS m "
            f"WHERE p.id = m.pointing AND p.{contract.link} = m.id AND p.id NOT IN (SELECT id FROM moved) "
            "RETURNING p.id, m.id AS was"
        )
    batch = f"""WITH listed AS (
  DELETE FROM {DEDUPE} WHERE id IN (SELECT id FROM {DEDUPE} ORDER BY id LIMIT {BATCH}) RETURNING id, kept, links
), moved AS (
  DELETE FROM {table} AS t USING listed AS l, {table} AS k
  WHERE t.id = l.id AND k.id = l.kept AND ({", ".join(f"t.{c}" for c in key)}) =
    ({", ".join(f"k.{c}" for c in key)}) RETURNING t.*
), pointed AS ({repoint}), kept AS (
  INSERT INTO {name} ({stored_columns(session, table)},
    quarantine_run, quarantine_batch, quarantine_reason, quarantine_kept, quarantine_links, quarantine_by)
  SELECT {stored_columns(session, table, "m.")}, %s, pg_current_xact_id()::text::bigint,
    'duplicate of ({", ".join(key)})', l.kept, ARRAY(SELECT p.id FROM pointed p WHERE p.was = m.id),
    current_user || '@' || %s FROM moved m JOIN listed l ON l.id = m.id
)
SELECT (SELECT count(*) FROM listed) AS seen, (SELECT count(*) FROM moved) AS moved"""
    return _repeat(session, contract, f"move duplicates of {table}", batch, (run, who()))


def _repeat(session: Session, contract: Contract, label: str, batch: str, values: tuple[object, ...]) -> int:
    step: Row = {"statement": label, "attempts": 1, "rows": 0}
    progress = Progress(session, "rows moved")
    announce(session, label)
    session.set("row_security", "off")  # a policy that would hide rows makes it fail instead
    with patient(session, contract.table, label):
        while (page := session.row(batch, values))["seen"]:
            step["rows"] += page["moved"]
            progress.add(page["moved"])
    session.steps.append(step)
    return int(step["rows"])


def run_restore(session: Session, report: Report, run: int | None, options: DedupeOptions) -> None:
    """Put quarantined rows back exactly as they were, links too: those of one run, or all, latest first."""
    contract = _contract(session, report)
    if contract is None:
        return
    name, target = quarantine(contract), session.target.name
    if not ours(session, contract):
        raise AocError(f"{target} has no quarantine: nothing was ever moved there.")
    chosen = "true" if run is None else f"quarantine_run = {run}"
    if run is not None and not session.value(f"SELECT EXISTS (SELECT FROM {name} WHERE {chosen})"):
        raise AocError(
            f"The quarantine of {target} has no rows of run {run}; see: aoc-migrate quarantine {target}"
        )
    if catalog.index_state(session, contract.table, contract.idempotency_index()) in ("valid", "invalid"):
        report.findings.append(make("index-stands", contract.table, target=target))
    taken = session.value(f"SELECT count(*) FROM {name} q JOIN {contract.table} t ON t.id = q.id WHERE {chosen}")
    if taken:
        report.findings.append(make("id-taken", contract.table, rows=taken))
    report.findings += hindrances(session, contract, INSERT, options.allowed_triggers)
    report.findings += writing(session, our_tables(session))
    if report.errors:
        return
    with runner_lock(session), ledger.recorded(session, report, "dedupe --restore", report.revision):
        report.changed = True
        report.facts["restored"] = _restore(session, contract, name, chosen)
    report.next = f"aoc-migrate audit {target}"


def _restore(session: Session, contract: Contract, name: str, chosen: str) -> int:
    table, columns = contract.table, stored_columns(session, contract.table)
    relink = "SELECT WHERE false"
    if contract.link in catalog.columns(session, table):
        relink = (
            f"UPDATE {table} AS p SET {contract.link} = b.id FROM (SELECT id, quarantine_kept AS kept, "
            "unnest(quarantine_links) AS pointing FROM back) AS b WHERE p.id = b.pointing "
            f"AND p.{contract.link} IS NOT DISTINCT FROM CASE WHEN p.id = b.kept THEN NULL ELSE b.kept END"
        )
    batch = f"""WITH back AS (
  DELETE FROM {name} WHERE {chosen} AND (quarantine_run, quarantine_batch) = (
    SELECT quarantine_run, quarantine_batch FROM {name} WHERE {chosen}
    ORDER BY quarantine_run DESC, quarantine_batch DESC LIMIT 1) RETURNING *
), stored AS (
  INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM back
), relinked AS ({relink})
SELECT count(*) AS seen, count(*) AS moved FROM back"""
    return _repeat(session, contract, f"restore rows of {table}", batch, ())
