"""The audit: what would stop an upgrade. Everything the catalog already proves is left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.contract.rules import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import DDL, FOREIGN, INSERT, LINKING, findings, unaccepted
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_tables import foreign
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.session import Row, Session
from aoc_migrate.inspect.chain_links import count_wrong
from aoc_migrate.inspect.dependents import audit_swap, watch_writers
from aoc_migrate.inspect.duplicates import audit_duplicates, duplicates_by_vendor
from aoc_migrate.inspect.partitioning import ambiguous_ids, foreign_indexes
from aoc_migrate.inspect.row_rules import audit_rows
from aoc_migrate.inspect.server_activity import surroundings
from aoc_migrate.inspect.session_checks import table_missing, unreadable
from aoc_migrate.inspect.table_shape import audit_columns
from aoc_migrate.operations.supersedes.statements import update_triggers
from aoc_migrate.report.accepted import option
from aoc_migrate.report.facts.raw_rows import AuditFacts
from aoc_migrate.report.model import Finding, Next, Report, finding
from aoc_migrate.revisions.current import chain_state
from aoc_migrate.revisions.graph import contract_at, head, parts, swap_of
from aoc_migrate.run import hold


@dataclass(frozen=True)
class Plan:
    """What is being audited: the contract of the target revision, the parts that shall stand, and options.

    ``linked``: the backfill is done. ``swapped``: the view swap is. ``limit`` caps samples.
    """

    contract: Contract
    parts: frozenset[Part]
    swap: ViewSwap | None = None
    linked: bool = False
    swapped: bool = False
    limit: int = 200


def audit_plan(session: Session, goal: str | None, **options: object) -> Plan:
    """Return what an audit for revision ``goal`` has to look at."""
    target = session.target.name
    found, linked = swap_of(target), chain_state(session)
    return Plan(
        contract=contract_at(target, goal),
        parts=frozenset(parts(target, goal)),
        swap=found.swap if found else None,
        linked=bool(linked and linked["done"]),
        swapped=bool(found and catalog.state(session, found.revision)),
        **options,  # type: ignore[arg-type]
    )


def run_audit(session: Session, report: Report, limit: int = 200) -> None:
    """Find what would stop an upgrade to head."""
    goal = head(session.target.name)
    contract = contract_at(session.target.name, goal)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract))
        return
    session.run("SET default_transaction_read_only = on")
    report.findings += hold.findings(session)
    report.findings += surroundings(session)
    plan = audit_plan(session, goal, limit=limit)
    report.findings += audit(session, plan, lambda rows: report.put(AuditFacts(rows)))
    facts = report.known(AuditFacts) or AuditFacts()
    if any(finding.slug == "duplicate-key" for finding in report.findings):
        facts = replace(facts, duplicates_by_vendor=duplicates_by_vendor(session, contract))
    if facts.rows is None and not unreadable(session, contract.table):
        rows = session.value(f"SELECT count(*) FROM {session.schema[contract.table]}")
        facts = replace(facts, rows=rows)
    report.put(facts)
    name = session.target.name
    report.next = Next(f"aoc-migrate upgrade {name}")
    if report.errors:
        report.next = Next(f"aoc-migrate audit {name}", note="Fix what the findings name, and audit again.")


def audit(session: Session, plan: Plan, counted: Callable[[int], None]) -> list[Finding]:
    """Return every finding, errors and warnings; ``counted`` is called with the number of rows where all are read.

    The raw table must exist.

    Raises Abort ``deadline`` (exit 3) where somebody locks the table against readers.
    """
    swap = plan.swap if Part.VIEW in plan.parts and not plan.swapped else None
    ended = watch_writers(session, swap) if swap else None
    with bounded_lock_wait(session, plan.contract.table, "audit"):
        findings = [*_table(session, plan, counted)]
        if swap and ended:
            findings += [*audit_swap(session, swap), *ended()]
    return findings


def _table(session: Session, plan: Plan, counted: Callable[[int], None]) -> Iterator[Finding]:
    contract = plan.contract
    shape = [*audit_columns(session, contract), *unreadable(session, contract.table)]
    yield from shape
    if any(finding.severity == "error" and finding.slug != "forbidden-column" for finding in shape):
        return
    yield from _foreign(session, plan)
    yield from ambiguous_ids(session, contract, plan.limit)
    checks, required = _unproven(session, plan)
    yield from audit_rows(session, contract, checks, required, plan.limit, counted)
    if Part.IDEMPOTENCY in plan.parts and _index_state(session, contract) != "valid":
        yield from audit_duplicates(session, contract, plan.limit)
    linking = Part.CHAIN in plan.parts and not plan.linked
    # INSERT is the probe's, at the end of every upgrade.
    code = unaccepted(session, contract, INSERT | DDL | (LINKING if linking else 0))
    if linking:
        found, links = _chain(session, plan, code)
        yield from found
        code = code if links else [row for row in code if not _only_where_linked(row)]
    yield from findings(session, contract, code)


def _unproven(session: Session, plan: Plan) -> tuple[list[Check], list[str]]:
    contract, standing = plan.contract, catalog.constraints(session, plan.contract.table)
    wanted: list[Check] = list(contract.row_checks()) if Part.GUARD in plan.parts else []
    if Part.CONTENT in plan.parts:
        wanted.append(contract.document_check())
    checks = [c for c in wanted if not (c.name in standing and standing[c.name].state(c) == "proven")]
    required = catalog.nullable(session, contract.table, contract.required) if Part.GUARD in plan.parts else []
    return checks, required


def _index_state(session: Session, contract: Contract) -> str:
    return catalog.index_state(session, contract.table, contract.idempotency_index())


def _foreign(session: Session, plan: Plan) -> Iterator[Finding]:
    """Yield what bears one of our names and is not ours; a revision would refuse it half way."""
    contract, standing = plan.contract, catalog.constraints(session, plan.contract.table)
    for check in contract.checks():
        if check.name in standing and not standing[check.name].is_(check):
            yield foreign(f"{contract.table}.{check.name}")
        if check.function and catalog.check_function(session, contract.table, check) == "foreign":
            yield foreign(check.function)
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, contract.table, index) == "foreign":
            yield foreign(index.name)
    yield from foreign_indexes(session, contract)


def _only_where_linked(code: Row) -> bool:
    """Return whether code stops an upgrade only if links are written; foreign code does so anyhow."""
    return code["slug"] != FOREIGN and not code["events"] & INSERT


def _chain(session: Session, plan: Plan, code: list[Row]) -> tuple[list[Finding], bool]:
    """Return what is in the way of the backfill, and whether it has rows to write.

    Rows are only read where something is.
    """
    contract = plan.contract
    query = update_triggers(contract, session.schema[contract.table])
    triggers = [row["tgname"] for row in session.rows(query)]
    triggers = [name for name in triggers if not session.accepted.has("update-trigger", name)]
    names = _dependents(session, contract)
    asked = [*triggers, *names, *filter(_only_where_linked, code)]
    rows = count_wrong(session, contract) if asked or not session.flags.allow_supersedes_retrofit else 0
    return [*_in_the_way(session, contract, rows, triggers, names)] if rows else [], rows > 0


def _in_the_way(
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
    """Return indexes and foreign keys on the link, and publications of the table, or of its partitions."""
    rows = session.rows(
        f"WITH family AS MATERIALIZED {FAMILY} "
        "SELECT DISTINCT c.relname::text AS name FROM pg_depend d JOIN pg_attribute a "
        "ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class c ON c.oid = d.objid "
        "WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('i', 'I') AND NOT c.relispartition "
        "AND d.refobjid IN (SELECT oid FROM family) AND a.attname = %s "
        "UNION ALL SELECT conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid "
        "AND a.attnum = ANY (c.conkey) WHERE c.contype = 'f' AND c.conparentid = 0 "
        "AND c.conrelid IN (SELECT oid FROM family) AND a.attname = %s "
        "UNION SELECT pubname FROM pg_publication_tables p JOIN family "
        "ON family.oid = to_regclass(format('%%I.%%I', p.schemaname, p.tablename)) ORDER BY 1",
        (str(session.schema[contract.table]), contract.link, contract.link),
    )
    return [row["name"] for row in rows]
