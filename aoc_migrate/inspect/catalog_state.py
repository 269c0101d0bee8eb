"""Verify: does the contract stand? The catalog part is cheap; the chain part looks at every row."""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.contract.rules import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.view import bypasses_policies, privileges, read_only, underlying
from aoc_migrate.report.facts.standing import StandingFacts
from aoc_migrate.report.model import Finding, finding

REPAIRABLE = {
    "missing-constraint",
    "unproven-constraint",
    "function-not-executable",
    "missing-index",
    "invalid-index",
    "view-writable",
    "view-bypasses-policies",
}


def verify_catalog(
    session: Session, contract: Contract, parts: set[Part], swap: ViewSwap | None, *, swapped: bool
) -> list[Finding]:
    """Return what of ``parts`` does not stand. ``swapped``: the view swap was done here, not found done."""
    findings = [*_constraints(session, contract, parts), *_indexes(session, contract, parts)]
    if swap and Part.VIEW in parts:
        findings += _view(session, swap, swapped)
    return findings


def _constraints(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    standing = catalog.constraints(session, contract.table)
    proven = Part.PROOF in parts
    if Part.GUARD in parts:
        for check in contract.row_checks():
            yield from _check(session, contract, check, standing, proven)
        yield from _required(session, contract, standing, proven)
    if Part.CONTENT in parts:
        yield from _check(session, contract, contract.document_check(), standing, True)


def standing_facts(session: Session, contract: Contract, parts: set[Part]) -> StandingFacts:
    """Return the state of each rule (missing, changed, guarded, proven) and index that ``parts`` promise."""
    standing = catalog.constraints(session, contract.table)
    checks = list(contract.row_checks()) if Part.GUARD in parts else []
    checks += [contract.document_check()] if Part.CONTENT in parts else []
    rules = {}
    for check in checks:
        found = standing.get(check.name)
        rules[check.name] = "missing" if found is None else found.state(check)
    if Part.PROOF in parts:
        nullable = catalog.nullable(session, contract.table, contract.required)
        rules |= {f"{c} NOT NULL": "missing" if c in nullable else "proven" for c in contract.required}
    wanted = {Part.IDEMPOTENCY: contract.idempotency_index(), Part.CHAIN_INDEX: contract.chain_index()}
    indexes = {
        index.name: catalog.index_state(session, contract.table, index)
        for part, index in wanted.items()
        if part in parts
    }
    return StandingFacts(rules, indexes)


def _check(
    session: Session,
    contract: Contract,
    check: Check,
    standing: dict[str, catalog.Constraint],
    proven: bool,
) -> Iterator[Finding]:
    words = {"target": session.target.name, "constraint": check.name}
    subject = f"{contract.table}.{check.name}"
    found = standing.get(check.name)
    if found is None:
        yield finding("missing-constraint", subject, **words)
    elif not found.is_(check):
        function = ""
        if check.function and catalog.check_function(session, contract.table, check) == "foreign":
            function = f", and its function (DROP FUNCTION {catalog.function_name(session, check)};)"
        yield finding("changed-constraint", subject, **words, function=function)
    elif proven and not found.validated:
        yield finding("unproven-constraint", subject, **words)
    if found and not found.executable and (roles := catalog.cannot_execute(session, contract.table, check)):
        words |= {"names": ", ".join(roles), "table": contract.table}
        words |= {"function": catalog.function_name(session, check)}
        yield finding("function-not-executable", check.function, **words)


def _required(
    session: Session, contract: Contract, standing: dict[str, catalog.Constraint], proven: bool
) -> Iterator[Finding]:
    if not proven and contract.required_check().name in standing:
        return
    for column in catalog.nullable(session, contract.table, contract.required):
        subject = f"{contract.table}.{column} NOT NULL"
        yield finding("missing-constraint", subject, target=session.target.name)


def _indexes(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    wanted = {
        Part.IDEMPOTENCY: contract.idempotency_index(),
        Part.CHAIN_INDEX: contract.chain_index(),
    }
    slugs = {"missing": "missing-index", "invalid": "invalid-index", "foreign": "changed-index"}
    for part, index in wanted.items():
        if part in parts:
            state = catalog.index_state(session, contract.table, index)
            if state in slugs:
                yield finding(slugs[state], index.name, target=session.target.name)


def _view(session: Session, swap: ViewSwap, swapped: bool) -> Iterator[Finding]:
    kind = catalog.kind(session, swap.view)
    words = {"backup": swap.backup, "target": session.target.name}
    if kind is None and not swapped and catalog.kind(session, swap.backup) is None:
        yield finding("swap-not-applicable", swap.view)
        return
    if kind != "v":
        reason = "there is no such view" if kind is None else "it is a table"
        yield finding("view-target", swap.view, reason=reason, **words)
        return
    at = session.schema
    view, backup = at[swap.view], at[swap.backup]
    facts = session.row(
        f"SELECT {underlying(view)} AS reads, ({read_only(at, swap)}) AS read_only, "
        f"({bypasses_policies(at, swap)}) AS bypasses, (SELECT count(DISTINCT relowner) FROM pg_class "
        f"WHERE oid IN (to_regclass({view.literal}), to_regclass({backup.literal}))) AS owners"
    )
    if facts["reads"] != [swap.backup]:
        yield finding(
            "view-target", swap.view, reason=f"it reads {', '.join(facts['reads']) or 'nothing'}", **words
        )
        return
    if swapped and not facts["read_only"]:
        yield finding("view-writable", swap.view, **words)
    if swapped and facts["bypasses"]:
        yield finding("view-bypasses-policies", swap.view, **words)
    differing = [*(["the owner"] if facts["owners"] != 1 else []), *_differing_privileges(session, swap)]
    if differing:
        yield finding("view-privileges", swap.view, names=", ".join(differing[:12]), **words)


def _differing_privileges(session: Session, swap: ViewSwap) -> list[str]:
    rows = session.rows(
        f"""WITH granted AS ({privileges(session.schema, swap)}), compared AS (
          SELECT grantor, grantee, privilege_type, is_grantable, attname FROM granted
          GROUP BY 1, 2, 3, 4, 5 HAVING count(DISTINCT relation) = 1)
        SELECT DISTINCT privilege_type || coalesce(' (' || attname || ')', '') || ' to '
          || CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS name
        FROM compared ORDER BY 1"""
    )
    return [row["name"] for row in rows]


def verifier_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield ``verifier-can-write`` when the verifier role exists and may change the raw table."""
    role = session.flags.verifier_user
    writes = session.value(
        "SELECT EXISTS (SELECT FROM pg_roles r, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p "
        "WHERE r.rolname = %s AND has_table_privilege(r.oid, to_regclass(%s), p))",
        (role, str(session.schema[contract.table])),
    )
    if writes:
        quoted = session.quoted(role)
        yield finding("verifier-can-write", contract.table, role=role, quoted=quoted)
