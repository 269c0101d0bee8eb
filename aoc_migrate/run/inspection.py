"""The read-only verbs: audit, verify, status."""

from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database import catalog
from aoc_migrate.database.books import BOOKS, WORK
from aoc_migrate.database.lock import holder
from aoc_migrate.database.ours import writable
from aoc_migrate.database.partitions import building
from aoc_migrate.database.patience import patient
from aoc_migrate.database.session import Session
from aoc_migrate.errors import AocError
from aoc_migrate.inspect.audit import audit
from aoc_migrate.inspect.chain import verify_chain
from aoc_migrate.inspect.duplicates import duplicates_by_vendor
from aoc_migrate.inspect.partitions import ambiguous_ids
from aoc_migrate.inspect.place import only_tenant, readable, table_missing, writing
from aoc_migrate.inspect.planted import planted_objects
from aoc_migrate.inspect.probe import UNPROBED, probe
from aoc_migrate.inspect.quarantine import quarantine_facts, quarantine_findings
from aoc_migrate.inspect.scope import Scope, strange_tenant
from aoc_migrate.inspect.surroundings import surroundings
from aoc_migrate.inspect.verify import standing_facts, verifier_findings
from aoc_migrate.report.model import Finding, Report, make
from aoc_migrate.run import hold, ledger
from aoc_migrate.run.common import backfilled_at, catalog_findings, chain_state, our_tables, plan
from aoc_migrate.run.history import applied, contract_at, head, history, parts, position


@dataclass(frozen=True)
class VerifyOptions:
    """``since`` in seconds; ``probe``: also try to write what must be refused, and roll it back."""

    limit: int = 200
    tenant: str | None = None
    since: float | None = None
    probe: bool = False


def run_audit(session: Session, report: Report, limit: int = 200) -> None:
    """Find what would stop an upgrade to head."""
    goal = head(session.target.name)
    contract = contract_at(session.target.name, goal)
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract))
        return
    session.run("SET default_transaction_read_only = on")
    report.findings += _held(session)
    report.findings += surroundings(session)
    report.findings += audit(session, plan(session, goal, limit=limit), report.facts)
    if any(finding.slug == "duplicate-key" for finding in report.findings):
        report.facts["duplicates_by_vendor"] = duplicates_by_vendor(session, contract)
    if "rows" not in report.facts and not readable(session, contract.table):
        report.facts["rows"] = session.value(f"SELECT count(*) FROM {session.schema[contract.table]}")
    name = session.target.name
    report.next = (
        f"aoc-migrate upgrade {name}" if not report.errors else f"mend it, then: aoc-migrate audit {name}"
    )


def _held(session: Session) -> list[Finding]:
    held = hold.read(session)
    return [hold.finding(session, held)] if held else []


def run_verify(session: Session, report: Report, options: VerifyOptions) -> None:
    """Check that what the current revision promises stands."""
    target, contract = session.target.name, contract_at(session.target.name, report.revision)
    if not options.probe:
        session.run("SET default_transaction_read_only = on")
    report.findings += _held(session)
    if report.revision != head(target):
        words = {"revision": report.revision or "base", "head": head(target)}
        report.findings.append(make("not-at-head", target, target=target, **words))
    if catalog.kind(session, contract.table) is None:
        report.findings.append(table_missing(session, contract))
        return
    report.findings += readable(session, contract.table, one_tenant=True)
    if any(finding.slug in ("row-level-security", "privileges") for finding in report.errors):
        return
    limited = only_tenant(session, contract.table)
    if limited is not None:
        if options.tenant not in (None, limited):
            raise AocError(
                f"This role sees the rows of tenant {limited!r} only: leave --tenant out, or name that."
            )
        options = replace(options, tenant=limited)
    verify_all(session, report, contract, options)
    if hold.read(session):
        report.findings = [hold.released(finding, target) for finding in report.findings]
    if session.flags.allow_supersedes_retrofit and report.revision == head(target):
        report.findings.append(make("retrofit-still-allowed", target))


def verify_all(session: Session, report: Report, contract: Contract, options: VerifyOptions) -> None:
    """Verify catalog, chain and, if asked, the probe for the revision in the report."""
    with patient(session, contract.table, "verify"):
        _verify_all(session, report, contract, options)


def _verify_all(session: Session, report: Report, contract: Contract, options: VerifyOptions) -> None:
    standing = parts(session.target.name, report.revision)
    report.findings += catalog_findings(session, report.revision)
    report.findings += verifier_findings(session, contract)
    report.findings += writable(session, *BOOKS, WORK, contract.quarantine)
    report.findings += quarantine_findings(session, contract)
    report.findings += planted_objects(session)
    report.findings += ledger.edited(session, report.revision)
    report.facts |= standing_facts(session, contract, standing)
    report.facts |= quarantine_facts(session, contract)
    report.facts["latest_runs"] = ledger.latest(session)
    if Part.CHAIN in standing:
        scope = Scope(options.tenant, options.since)
        found, facts = verify_chain(session, contract, backfilled_at(session), options.limit, scope)
        report.findings += found
        report.facts |= facts
        report.findings += ambiguous_ids(session, contract, options.limit, options.since)
    report.findings += strange_tenant(session, contract, options.tenant)
    if options.tenant is not None:
        report.facts["tenant"] = options.tenant
    if options.since is not None:
        report.facts["since_seconds"] = options.since
    if options.probe:
        found = list(probe(session, contract, standing))
        report.findings += found
        report.facts["probed"] = not {finding.slug for finding in found} & UNPROBED


def run_status(session: Session, report: Report) -> None:
    """Tell where the target stands: revision, pending, rules guarded or proven, hold, lock, running build."""
    target = session.target.name
    contract = contract_at(target, report.revision)
    standing = catalog.constraints(session, contract.table)
    rules = {
        check.name: standing[check.name].state(check)
        for check in sorted(contract.checks(), key=lambda check: check.name)
        if check.name in standing and standing[check.name].is_(check)
    }
    pending = history(target)[position(target, report.revision) :]
    indexes = {
        index.name: catalog.index_state(session, contract.table, index)
        for index in (contract.idempotency_index(), contract.chain_index())
    }
    state = chain_state(session)
    report.findings += _held(session)
    report.findings += [replace(f, severity="warning") for f in writing(session, our_tables(session))]
    report.findings += writable(session, *BOOKS, WORK, contract.quarantine)
    report.findings += quarantine_findings(session, contract)
    report.findings += surroundings(session)
    report.facts |= {
        "applied": len(applied(target, report.revision)),
        "pending": [f"{r.id} {r.title}" for r in pending],
        "rules": rules,
        "indexes": indexes,
        "backfill": "not begun"
        if state is None
        else ("done" if state["done"] else f"{state['rows']} rows so far"),
        **quarantine_facts(session, contract),
        "lock": holder(session) or "free",
        "building": building(session, contract.table, list(indexes)),
    }
    report.next = f"aoc-migrate upgrade {target}" if pending else f"aoc-migrate verify {target}"


def run_history(session: Session, report: Report, limit: int, run: int | None) -> None:
    """Tell what the ledger holds: the latest runs, and the steps of one of them (None: of the latest)."""
    report.facts["runs"] = ledger.runs(session, limit)
    if run is None and report.facts["runs"]:
        run = report.facts["runs"][0]["run"]
    if run is not None:
        found = ledger.steps(session, run)
        if found is None:
            raise AocError(f"The ledger of {session.target.name} has no run {run}; see: aoc-migrate history")
        report.facts["steps_of_run"] = run
        session.steps = found
