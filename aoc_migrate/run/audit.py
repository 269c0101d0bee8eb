"""The audit: what would stop an upgrade. It skips whatever the catalog already proves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.contract.rules import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import NEEDS, findings, unaccepted
from aoc_migrate.database.events import DDL, INSERT, LINKING
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_tables import foreign
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.inspect.chain_links import count_wrong
from aoc_migrate.inspect.dependents import audit_swap, watch_writers
from aoc_migrate.inspect.duplicates import duplicates_by_vendor
from aoc_migrate.inspect.partitioning import ambiguous_ids, foreign_indexes
from aoc_migrate.inspect.replication import PUBLISHED, SUBSCRIBED, replication_findings
from aoc_migrate.inspect.row_rules import audit_rows
from aoc_migrate.inspect.row_scan import audit_rows_and_duplicates
from aoc_migrate.inspect.server_activity import activity_findings
from aoc_migrate.inspect.session_checks import VISIBLE, table_missing, unreadable
from aoc_migrate.inspect.table_shape import SHAPE, audit_columns
from aoc_migrate.inspect.temp_files import audit_sorts
from aoc_migrate.inspect.verifier_role import gained_rights
from aoc_migrate.operations.supersedes.link_obstacles import link_obstacles
from aoc_migrate.operations.supersedes.statements import new_links, update_triggers
from aoc_migrate.quarantine.contents import unfinished_findings
from aoc_migrate.report.accepted import option
from aoc_migrate.report.facts.raw_rows import AuditFacts
from aoc_migrate.report.model import Finding, Report, finding
from aoc_migrate.revisions.current import chain_state
from aoc_migrate.revisions.graph import contract_at, head, parts, swap_of
from aoc_migrate.run import hold


@dataclass(frozen=True)
class AuditPlan:
    """What to audit: the contract of the target revision and the parts that revision has in place.

    ``linked`` and ``swapped`` say that the backfill and the view swap are done. ``limit`` caps samples.
    """

    contract: Contract
    parts: frozenset[Part]
    swap: ViewSwap | None = None
    linked: bool = False
    swapped: bool = False
    limit: int = 200


def audit_plan(session: Session, goal: str | None, limit: int = 200) -> AuditPlan:
    """Return the plan of an audit for revision ``goal``."""
    target = session.target.name
    swap, chain = swap_of(target), chain_state(session)
    return AuditPlan(
        contract=contract_at(target, goal),
        parts=frozenset(parts(target, goal)),
        swap=swap.swap if swap else None,
        linked=bool(chain and chain["done"]),
        swapped=bool(swap and catalog.state(session, swap.revision)),
        limit=limit,
    )


def run_audit(session: Session, report: Report, limit: int = 200) -> None:
    """Find what would stop an upgrade to head."""
    goal = head(session.target.name)
    contract = contract_at(session.target.name, goal)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract, report.revision))
        return
    session.run("SET default_transaction_read_only = on")
    report.findings += hold.findings(session)
    report.findings += activity_findings(session)
    report.findings += unfinished_findings(session, contract)
    plan = audit_plan(session, goal, limit)
    report.findings += audit(session, plan, lambda rows: report.put(AuditFacts(rows)))
    facts = report.get(AuditFacts) or AuditFacts()
    if any(finding.slug == "duplicate-key" for finding in report.findings):
        facts = replace(facts, duplicates_by_vendor=duplicates_by_vendor(session, contract))
    report.put(facts)


def audit(session: Session, plan: AuditPlan, counted: Callable[[int], None]) -> list[Finding]:
    """Return all errors and warnings. The raw table must exist.

    If every row is read, ``counted`` is called with their number. Raises Abort ``deadline`` (exit 3) if another
    session locks the table against readers.
    """
    swap = plan.swap if Part.VIEW in plan.parts and not plan.swapped else None
    new_writes = watch_writers(session, swap) if swap else None
    with bounded_lock_wait(session, plan.contract.table, "audit"):
        findings = [*_replication(session, plan, swap)]
        session.checked("nothing that the upgrade changes is replicated", None, "", len(findings))
        findings += gained_rights(session, plan.contract)
        findings += _audit_table(session, plan, counted)
        if swap and new_writes:
            found = [*audit_swap(session, swap)]
            errors = sum(finding.severity == "error" for finding in found)
            session.checked("the view swap is possible", None, "", errors)
            findings += [*found, *new_writes()]
    return findings


def _audit_table(session: Session, plan: AuditPlan, counted: Callable[[int], None]) -> Iterator[Finding]:
    contract = plan.contract
    columns, hidden = [*audit_columns(session, contract)], unreadable(session, contract.table)
    session.checked(SHAPE, len(contract.columns), "columns", len(columns))
    session.checked(VISIBLE, None, "", len(hidden))
    shape = [*columns, *hidden]
    yield from shape
    if any(finding.severity == "error" and finding.slug != "forbidden-column" for finding in shape):
        return
    others = [*_foreign(session, plan)]
    session.checked("names that the upgrade needs are free, or ours", None, "", len(others))
    yield from others
    building = {Part.IDEMPOTENCY: contract.idempotency_index(), Part.CHAIN_INDEX: contract.chain_index()}
    indexes = [index for part, index in building.items() if part in plan.parts]
    yield from audit_sorts(session, contract, indexes, chain=Part.CHAIN in plan.parts)
    yield from ambiguous_ids(session, contract, plan.limit)
    checks, required = _unproven(session, plan)
    look = audit_rows_and_duplicates if _indexing(session, plan) else audit_rows
    rows = yield from look(session, contract, checks, required, plan.limit)
    if rows is not None:
        counted(rows)
    linking = _linking(plan)
    # INSERT, because every upgrade ends with the probe.
    code = unaccepted(session, contract, INSERT | DDL | (LINKING if linking else 0))
    if linking:
        obstacles, links = _audit_backfill(session, plan, code)
        yield from obstacles
        code = code if links else [row for row in code if not _only_where_linked(row)]
    found = [*findings(session, contract, code)]
    session.checked("no code of untrusted roles runs during the upgrade", None, "", len(found))
    yield from found


def _replication(session: Session, plan: AuditPlan, swap: ViewSwap | None) -> Iterator[Finding]:
    contract = plan.contract
    changed = [(slug, swap.view) for slug in (PUBLISHED, SUBSCRIBED)] if swap else []
    if contract.link not in catalog.columns(session, contract.table) or _linking(plan):
        changed.append((PUBLISHED, contract.table))
    if any(_unproven(session, plan)) or _indexing(session, plan):
        changed.append((SUBSCRIBED, contract.table))
    yield from replication_findings(session, contract, changed, plan.swap)


def _linking(plan: AuditPlan) -> bool:
    return Part.CHAIN in plan.parts and not plan.linked


def _indexing(session: Session, plan: AuditPlan) -> bool:
    """Return whether the idempotency index is planned and not built."""
    table, index = plan.contract.table, plan.contract.idempotency_index()
    return Part.IDEMPOTENCY in plan.parts and catalog.index_state(session, table, index) != "valid"


def _unproven(session: Session, plan: AuditPlan) -> tuple[list[Check], list[str]]:
    """Return the planned CHECKs that are not proven yet, and the required columns that are still nullable."""
    contract, existing = plan.contract, catalog.constraints(session, plan.contract.table)
    checks = list(contract.row_checks()) if Part.GUARD in plan.parts else []
    if Part.CONTENT in plan.parts:
        checks.append(contract.document_check())
    unproven = [c for c in checks if not (c.name in existing and existing[c.name].state(c) == "proven")]
    required = catalog.nullable(session, contract.table, contract.required) if Part.GUARD in plan.parts else []
    return unproven, required


def _foreign(session: Session, plan: AuditPlan) -> Iterator[Finding]:
    """Yield objects that have one of our names but are not ours. A revision would refuse them half way."""
    contract, existing = plan.contract, catalog.constraints(session, plan.contract.table)
    for check in contract.checks():
        if check.name in existing and not existing[check.name].is_(check):
            yield foreign(f"{contract.table}.{check.name}")
        if check.function and catalog.check_function(session, contract.table, check) == "foreign":
            yield foreign(check.function)
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, contract.table, index) == "foreign":
            yield foreign(index.name)
    yield from foreign_indexes(session, contract)


def _only_where_linked(code: Row) -> bool:
    """Return whether this code stops an upgrade only if the backfill writes links. Foreign code always does."""
    return code["slug"] == NEEDS and not code["events"] & INSERT


def _audit_backfill(session: Session, plan: AuditPlan, code: list[Row]) -> tuple[list[Finding], bool]:
    """Return what blocks the backfill, and whether it has rows to write.

    Rows are read only if something would block it.
    """
    contract = plan.contract
    query = update_triggers(contract, session.schema[contract.table])
    triggers = [row["tgname"] for row in session.rows(query)]
    triggers = [name for name in triggers if not session.accepted.has("update-trigger", name)]
    names = _dependents(session, contract)
    found = link_obstacles(session, contract, new_links)
    obstacles = [*triggers, *names, *filter(_only_where_linked, code)]
    counted = bool(obstacles) or not session.flags.allow_supersedes_retrofit
    rows = count_wrong(session, contract) if counted else 0
    if rows:
        found += _backfill_findings(session, contract, rows, triggers, names)
    errors = sum(finding.severity == "error" for finding in found)
    what = "the backfill may write the links that rows lack"
    session.checked(what, rows if counted else None, "links" if counted else "", (rows or 1) if errors else 0)
    return found, rows > 0


def _backfill_findings(
    session: Session, contract: Contract, rows: int, triggers: list[str], names: list[str]
) -> Iterator[Finding]:
    if not session.flags.allow_supersedes_retrofit:
        yield finding("retrofit-not-allowed", contract.table, count=rows, rows=rows)
    for name in triggers:
        yield finding("update-trigger", contract.table, trigger=name, accept=option("update-trigger", name))
    if names:
        what = f"{len(names)} dependent objects" if len(names) > 1 else "a dependent object"
        yield finding(
            "link-dependents",
            f"{contract.table}.{contract.link}",
            what=what,
            column=contract.link,
            names=", ".join(names),
        )


def _dependents(session: Session, contract: Contract) -> list[str]:
    """Return the indexes and foreign keys on the link column."""
    rows = session.rows(
        f"WITH family AS MATERIALIZED {FAMILY} "
        "SELECT DISTINCT c.relname::text AS name FROM pg_depend d JOIN pg_attribute a "
        "ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class c ON c.oid = d.objid "
        "WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('i', 'I') AND NOT c.relispartition "
        "AND d.refobjid IN (SELECT oid FROM family) AND a.attname = %s "
        "UNION ALL SELECT conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid "
        "AND a.attnum = ANY (c.conkey) WHERE c.contype = 'f' AND c.conparentid = 0 "
        "AND c.conrelid IN (SELECT oid FROM family) AND a.attname = %s "
        "ORDER BY 1",
        (str(session.schema[contract.table]), contract.link, contract.link),
    )
    return [row["name"] for row in rows]
