"""The part of verify that reads the catalog: do the objects that the revisions promise exist as promised?"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, Index, Part, ViewSwap
from aoc_migrate.contract.rules import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.left_behind import index_leftovers, proofs
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.trust import owner_of
from aoc_migrate.database.view import (
    as_it_is,
    bypasses_policies,
    guard_function,
    other_code,
    over_backup,
    privileges,
    read_only,
    reads,
)
from aoc_migrate.report.facts.target_state import CatalogFacts
from aoc_migrate.report.model import Finding, finding

LEFTOVER = "leftover"
REPAIRABLE = {
    "missing-constraint",
    "unproven-constraint",
    "function-not-executable",
    "missing-index",
    "invalid-index",
    "view-writable",
    "view-bypasses-policies",
    LEFTOVER,
}


def verify_catalog(
    session: Session, contract: Contract, parts: set[Part], swap: ViewSwap | None, *, swapped: bool
) -> list[Finding]:
    """Return what is missing or wrong of ``parts``. ``swapped``: our own revision did the view swap."""
    findings = [*_constraints(session, contract, parts), *_indexes(session, contract, parts)]
    if spread_of(session, contract.table).partitioned:
        findings += _leftovers(session, contract, parts)
    if swap and Part.VIEW in parts:
        findings += _view(session, swap, swapped)
    return findings


def _constraints(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    existing = catalog.constraints(session, contract.table)
    proven = Part.PROOF in parts
    if Part.GUARD in parts:
        for check in contract.row_checks():
            yield from _check(session, contract, check, existing.get(check.name), proven)
        if proven or contract.required_check().name not in existing:
            yield from _required(session, contract)
    if Part.CONTENT in parts:
        check = contract.document_check()
        yield from _check(session, contract, check, existing.get(check.name), True)


def _leftovers(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    """Yield what an upgrade would drop, as it runs the revisions again whose ``parts`` are promised."""
    table = session.schema[contract.table]
    names = [name for _, name in proofs(session, table)] if Part.PROOF in parts else []
    for part, index in _promised(contract).items():
        if part in parts:
            names += [name.name for _, name in index_leftovers(session, table, index)]
    if names:
        yield finding(LEFTOVER, contract.table, names=", ".join(names[:12]), target=session.target.name)


def catalog_facts(session: Session, contract: Contract, parts: set[Part]) -> CatalogFacts:
    """Return the state of each rule (missing, changed, guarded, proven) and index that ``parts`` promise."""
    existing = catalog.constraints(session, contract.table)
    checks = list(contract.row_checks()) if Part.GUARD in parts else []
    checks += [contract.document_check()] if Part.CONTENT in parts else []
    rules = {}
    for check in checks:
        found = existing.get(check.name)
        rules[check.name] = "missing" if found is None else found.state(check)
    if Part.PROOF in parts:
        nullable = catalog.nullable(session, contract.table, contract.required)
        rules |= {f"{c} NOT NULL": "missing" if c in nullable else "proven" for c in contract.required}
    return CatalogFacts(rules, _index_states(session, contract, parts))


def _index_states(session: Session, contract: Contract, parts: set[Part]) -> dict[str, str]:
    promised = _promised(contract).items()
    return {index.name: index_state(session, contract, index) for part, index in promised if part in parts}


def _promised(contract: Contract) -> dict[Part, Index]:
    return {Part.IDEMPOTENCY: contract.idempotency_index(), Part.CHAIN_INDEX: contract.chain_index()}


def index_state(session: Session, contract: Contract, index: Index) -> str:
    """Return the state of ``index``: `catalog.index_state`, or ``incomplete`` if shards of a cluster lack it."""
    state = catalog.index_state(session, contract.table, index)
    if state == "valid" and session.on_cluster:
        from aoc_migrate.database.spread.shards import lacks_on_shards

        return "incomplete" if lacks_on_shards(session, session.schema[index.name]) else state
    return state


def _check(
    session: Session,
    contract: Contract,
    check: Check,
    found: catalog.Constraint | None,
    proven: bool,
) -> Iterator[Finding]:
    values = {"target": session.target.name, "constraint": check.name}
    subject = f"{contract.table}.{check.name}"
    if found is None:
        yield finding("missing-constraint", subject, **values)
    elif not found.is_(check):
        function = ""
        if check.function and catalog.check_function(session, contract.table, check) == "foreign":
            function = f" DROP FUNCTION {catalog.function_name(session, check)};"
        yield finding("changed-constraint", subject, **values, raw=str(session.raw), function=function)
    elif proven and not found.validated:
        yield finding("unproven-constraint", subject, **values)
    if found and not found.executable and (roles := catalog.cannot_execute(session, contract.table, check)):
        values |= {"names": ", ".join(roles), "table": contract.table}
        values |= {"function": catalog.function_name(session, check)}
        yield finding("function-not-executable", check.function, **values)


def _required(session: Session, contract: Contract) -> Iterator[Finding]:
    for column in catalog.nullable(session, contract.table, contract.required):
        subject = f"{contract.table}.{column} NOT NULL"
        yield finding("missing-constraint", subject, target=session.target.name)


def _indexes(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    slugs = {"missing": "missing-index", "invalid": "invalid-index", "foreign": "changed-index"}
    slugs["incomplete"] = "incomplete-index"
    for name, state in _index_states(session, contract, parts).items():
        if state in slugs:
            yield finding(slugs[state], name, target=session.target.name, index=str(session.schema[name]))


def _view(session: Session, swap: ViewSwap, swapped: bool) -> Iterator[Finding]:
    kind = catalog.kind(session, swap.view)
    values = {"backup": swap.backup, "target": session.target.name}
    if kind is None and not swapped and catalog.kind(session, swap.backup) is None:
        yield finding("swap-not-applicable", swap.view)
        return
    if kind != "v":
        reason = "there is no such view" if kind is None else "it is a table"
        yield finding("view-target", swap.view, reason=reason, **values)
        return
    schema = session.schema
    view, backup = schema[swap.view], schema[swap.backup]
    facts = session.row(
        f"SELECT {over_backup(schema, swap)} AS ours, array_to_string({reads(schema, swap)}, ', ') AS reads, "
        f"{as_it_is(schema, swap)} AS whole, "
        f"(SELECT ARRAY[string_agg(name, ', '), string_agg(remedy, ' ')] FROM ({other_code(schema, swap)}) AS c) "
        "AS code, "
        f"({read_only(schema, swap)}) AS read_only, ({read_only(schema, swap, swap.view)}) AS by_its_owner, "
        f"({bypasses_policies(schema, swap)}) AS bypasses, (SELECT count(DISTINCT relowner) FROM pg_class "
        f"WHERE oid IN (to_regclass({view.literal}), to_regclass({backup.literal}))) AS owners, "
        f"quote_ident(pg_get_userbyid({owner_of(backup)})) AS owner"
    )
    if not facts["ours"]:
        yield finding("view-target", swap.view, reason=f"it reads {facts['reads'] or 'nothing'}", **values)
        return
    if swapped and not facts["whole"]:
        yield finding("view-target", swap.view, reason="it does not show its rows as they are", **values)
        return
    names, remedy = facts["code"]
    if swapped and names:
        yield finding("view-code", swap.view, names=names, remedy=remedy, **values)
    if swapped and not facts["read_only"] and facts["by_its_owner"]:
        function = schema[guard_function(swap)]
        yield finding("view-owner", swap.view, view=view, function=function, owner=facts["owner"], **values)
    elif swapped and not facts["read_only"]:
        yield finding("view-writable", swap.view, **values)
    if swapped and facts["bypasses"]:
        yield finding("view-bypasses-policies", swap.view, **values)
    differing = [*(["the owner"] if facts["owners"] != 1 else []), *_differing_privileges(session, swap)]
    if differing:
        yield finding("view-privileges", swap.view, names=", ".join(differing[:12]), **values)


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
