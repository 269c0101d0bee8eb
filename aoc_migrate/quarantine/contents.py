"""What is in the quarantine, and who may read it."""

from collections.abc import Iterator
from dataclasses import dataclass

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import JOURNAL
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort, refused
from aoc_migrate.inspect.granting import must_read
from aoc_migrate.operations.supersedes.link_journal import listed
from aoc_migrate.quarantine.work_list import DUPLICATE, unfinished
from aoc_migrate.report.facts.quarantined import QuarantineFacts
from aoc_migrate.report.model import Finding, Report, finding


def has_quarantine(session: Session, contract: Contract) -> bool:
    """Return whether the quarantine exists."""
    return catalog.kind(session, contract.quarantine) is not None


@dataclass(frozen=True)
class SavedRun:
    """A run that has ``rows`` in quarantine, and its command: dedupe or repair."""

    run: int
    command: str
    rows: int


def saved_runs(session: Session, contract: Contract) -> list[SavedRun]:
    """Return the runs that have rows in quarantine, latest first. Raises Abort ``privileges``."""
    if not has_quarantine(session, contract):
        return []
    must_read(session, contract.quarantine)
    query = (
        f"SELECT quarantine_run AS run, CASE WHEN bool_or(quarantine_reason = '{DUPLICATE}') THEN 'dedupe' "
        f"ELSE 'repair' END AS command, count(*) AS rows FROM {session.schema[contract.quarantine]} "
        "GROUP BY quarantine_run ORDER BY quarantine_run DESC"
    )
    with own_tables_locked(session, contract.quarantine):
        return [SavedRun(**row) for row in session.rows(query)]


def no_such_rows(session: Session, run: int | None) -> Abort:
    """Return the Abort (exit 2) for a quarantine without rows of ``run``, or without any."""
    target = session.target.name
    if run is None:
        return refused(f"The quarantine of {target} is empty.")
    return refused(
        f"The quarantine of {target} has no rows of run {run}. See its runs: aoc-migrate quarantine {target}"
    )


def quarantine_facts(session: Session, contract: Contract) -> QuarantineFacts:
    """Return how many rows were moved there and how many were repaired; None if this role may not read it."""
    if not has_quarantine(session, contract):
        return QuarantineFacts(0, 0)
    if not catalog.may_read(session, contract.quarantine):
        return QuarantineFacts(None, None)
    with own_tables_locked(session, contract.quarantine):
        row = session.row(
            "SELECT count(*) FILTER (WHERE quarantine_repaired IS NULL) AS quarantine, "
            f"count(quarantine_repaired) AS repaired FROM {session.schema[contract.quarantine]}"
        )
    return QuarantineFacts(**row)


def quarantine_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield a finding if other roles have rights on the quarantine, and one if a command was interrupted."""
    if has_quarantine(session, contract):
        yield from _rights_of_others(session, contract)
    yield from unfinished_findings(session, contract)


def unfinished_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield a finding if `repair` or `dedupe` was interrupted and has rows left on its list."""
    work = unfinished(session)
    if work:
        values = {"verb": work.verb, "options": work.options, "target": session.target.name}
        yield finding("work-unfinished", contract.table, **values)


def show_unfinished(session: Session, report: Report, contract: Contract) -> bool:
    """Report a command that was interrupted; return whether there is one. It goes on before another begins."""
    found = list(unfinished_findings(session, contract))
    report.findings += found
    return bool(found)


def _rights_of_others(session: Session, contract: Contract) -> Iterator[Finding]:
    rows = session.rows(
        "SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END "
        "AS role FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, "
        "LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(t.attacl)) AS a "
        "WHERE c.oid = to_regclass(%(name)s) AND a.grantee <> c.relowner "
        "UNION SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class "
        "WHERE oid = to_regclass(%(name)s) AND relowner <> "
        "(SELECT relowner FROM pg_class WHERE oid = to_regclass(%(table)s)) ORDER BY 1",
        {"name": str(session.schema[contract.quarantine]), "table": str(session.schema[contract.table])},
    )
    if rows:
        names = ", ".join(row["role"] for row in rows)
        yield finding("quarantine-exposed", contract.quarantine, names=names)


def moved_ids(session: Session, contract: Contract, ids: list[str]) -> set[str]:
    """Return the ids that belong to moved rows; none if this role may not read the quarantine."""
    if not catalog.may_read(session, contract.quarantine):
        return set()
    query = (
        f"SELECT id FROM {session.schema[contract.quarantine]} WHERE quarantine_repaired IS NULL AND id = ANY (%s)"
    )
    with own_tables_locked(session, contract.quarantine):
        return {row["id"] for row in session.rows(query, (ids,))}


def journaled_in_quarantine(session: Session, contract: Contract) -> int:
    """Count the links in the journal whose rows are now in quarantine, where a downgrade does not find them.

    0 if this role may not read both: then they count as rows that have changed.
    """
    if not (catalog.may_read(session, JOURNAL) and catalog.may_read(session, contract.quarantine)):
        return 0
    query = (
        f"WITH moved AS MATERIALIZED (SELECT id FROM {session.schema[contract.quarantine]} "
        "WHERE quarantine_repaired IS NULL), away AS MATERIALIZED (SELECT id FROM moved "
        f"EXCEPT SELECT id FROM {session.schema[contract.table]} WHERE id IN (SELECT id FROM moved)) "
        f"SELECT count(*) FROM {session.schema[JOURNAL]}, LATERAL ({listed('links')}) AS l "
        "WHERE id IN (SELECT id FROM away)"
    )
    with own_tables_locked(session, JOURNAL, contract.quarantine):
        return int(session.value(query))
