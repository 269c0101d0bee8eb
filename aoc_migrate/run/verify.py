"""`verify`: whether what the current revision promises still holds."""

from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, WORK
from aoc_migrate.database.lock_wait import bounded_lock_wait
from aoc_migrate.database.own_tables import writable
from aoc_migrate.database.session import Session
from aoc_migrate.errors import refused
from aoc_migrate.inspect.catalog_state import LEFTOVER, catalog_facts
from aoc_migrate.inspect.chain_links import verify_chain
from aoc_migrate.inspect.chain_scope import Scope, strange_tenant
from aoc_migrate.inspect.partitioning import ambiguous_ids
from aoc_migrate.inspect.planted_objects import planted_objects
from aoc_migrate.inspect.probe import UNPROBED, probe
from aoc_migrate.inspect.row_security import only_tenant
from aoc_migrate.inspect.session_checks import VISIBLE, table_missing, unreadable
from aoc_migrate.inspect.table_shape import SHAPE, UNUSABLE, audit_columns
from aoc_migrate.inspect.verifier_role import gained_rights
from aoc_migrate.quarantine.contents import quarantine_facts, quarantine_findings
from aoc_migrate.report.facts.chains import LinksProven
from aoc_migrate.report.facts.runs import VerifyFacts
from aoc_migrate.report.formatting import duration, utc_time
from aoc_migrate.report.model import Finding, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import backfilled_at, catalog_findings, was_swapped
from aoc_migrate.revisions.graph import contract_at, head, history, parts, position
from aoc_migrate.run import hold


@dataclass(frozen=True)
class VerifyOptions:
    """Options of `verify`: ``since`` is in seconds; ``probe`` also tries bad rows and rolls them back.

    ``require_head``: a pending revision is an error. ``proven``: this run has audited the rows, and what its
    backfill has proven is not read again.
    """

    limit: int = 200
    tenant: str | None = None
    since: float | None = None
    probe: bool = False
    require_head: bool = False
    proven: bool = False


def not_at_head(target: str, revision: str | None, *, required: bool = False) -> list[Finding]:
    """Return the finding for pending revisions, if there are any: a warning, or an error if head is ``required``.

    At base it is an error too: a database without a revision promises nothing, so nothing of it could be verified.
    """
    pending = history(target)[position(target, revision) :]
    if not pending:
        return []
    found = finding(
        "not-at-head",
        target,
        target=target,
        revision=revision or "base",
        head=head(target),
        promise="Only what its revision promises was checked." if revision else "It promises nothing yet.",
        pending=", ".join(f"{r.id} ({r.title.partition(':')[0]})" for r in pending),
    )
    return [replace(found, severity="error") if required or revision is None else found]


def run_verify(session: Session, report: Report, options: VerifyOptions) -> None:
    """Check that what the current revision promises still holds."""
    target, contract = session.target.name, contract_at(session.target.name, report.revision)
    if not options.probe:
        session.run("SET default_transaction_read_only = on")
    report.findings += hold.findings(session)
    report.findings += not_at_head(target, report.revision, required=options.require_head)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract, report.revision))
        return
    report.findings += unreadable(session, contract.table, one_tenant=True)
    if any(finding.slug in ("row-level-security", "privileges") for finding in report.errors):
        return
    tenant = only_tenant(session, contract.table)
    session.checked(VISIBLE + (f" of tenant {tenant}" if tenant is not None else ""), None, "")
    if tenant is not None:
        if options.tenant not in (None, tenant):
            raise refused(
                f"This role sees only rows of tenant {tenant!r}. Name that tenant, or leave out --tenant."
            )
        options = replace(options, tenant=tenant)
    verify_all(session, report, contract, options)
    if hold.read(session):
        report.findings = [hold.released(finding, target) for finding in report.findings]
    if session.flags.allow_supersedes_retrofit and report.revision == head(target):
        report.findings.append(finding("retrofit-still-allowed", target))


def verify_all(session: Session, report: Report, contract: Contract, options: VerifyOptions) -> None:
    """Verify catalog and chains for the revision in the report, and run the probe if it is asked for."""
    with bounded_lock_wait(session, contract.table, "verify"):
        _verify_all(session, report, contract, options)


def _verify_all(session: Session, report: Report, contract: Contract, options: VerifyOptions) -> None:
    promised = parts(session.target.name, report.revision)
    shape = list(audit_columns(session, contract))
    usable = not any(finding.slug in UNUSABLE for finding in shape)
    report.findings += shape
    session.checked(SHAPE, len(contract.columns), "columns", len(shape))
    report.findings += _verify_catalog(session, report, contract, promised)
    report.findings += gained_rights(session, contract)
    others = writable(session, *BOOKKEEPING, WORK, contract.quarantine)
    session.checked("no other role may write to our own tables", None, "", len(others))
    report.findings += others
    report.findings += quarantine_findings(session, contract)
    report.findings += planted_objects(session)
    report.findings += ledger.edited(session, report.revision)
    report.put(quarantine_facts(session, contract))
    if Part.CHAIN in promised and usable:
        _verify_rows(session, report, contract, options)
    report.findings += strange_tenant(session, contract, options.tenant)
    facts = VerifyFacts(ledger.latest(session), options.tenant, options.since)
    report.put(facts)
    if options.probe and not {finding.slug for finding in shape} & {"table-kind", "column-missing"}:
        found = list(probe(session, contract, promised))
        report.findings += found
        report.put(replace(facts, probed=not {finding.slug for finding in found} & UNPROBED))


def _verify_rows(session: Session, report: Report, contract: Contract, options: VerifyOptions) -> None:
    """Check the chains in scope, and that ids are unique where no index makes them so."""
    linked = f"each row links to the revision before it{_within(options)}"
    if options.proven and session.linked_at:
        session.checked(linked, None, "")
        report.put(LinksProven(utc_time(session.linked_at)))
    else:
        scope = Scope(options.tenant, options.since)
        found, chains = verify_chain(session, contract, backfilled_at(session), options.limit, scope)
        session.checked(linked, chains.rows, "rows", sum(finding.count or 0 for finding in found))
        report.findings += found
        report.put(chains)
    if not options.proven:
        report.findings += ambiguous_ids(session, contract, options.limit, options.since)


def _verify_catalog(session: Session, report: Report, contract: Contract, promised: set[Part]) -> list[Finding]:
    """Return what is wrong with the catalog, and note the state of each rule and index, and what was checked."""
    found, facts = catalog_findings(session, report.revision), catalog_facts(session, contract, promised)
    report.put(facts)
    indexes, view = (sum(kind in finding.slug for finding in found) for kind in ("-index", "view-"))
    rules = sum(finding.slug != LEFTOVER for finding in found) - indexes - view
    if facts.rules:
        what = "rules are proven for every row" if Part.PROOF in promised else "rules guard new rows"
        session.checked(what, len(facts.rules), "rules", min(rules, len(facts.rules)))
    if facts.indexes:
        session.checked("indexes are valid", len(facts.indexes), "indexes", indexes)
    if Part.VIEW in promised and was_swapped(session):
        session.checked("the view reads the backup, and cannot be written to", None, "", view)
    return found


def _within(options: VerifyOptions) -> str:
    """Return the scope in words, empty for everything."""
    words = [f"tenant {options.tenant}"] if options.tenant is not None else []
    words += [f"documents stored in the last {duration(options.since)}"] if options.since is not None else []
    return f" ({', '.join(words)})" if words else ""
