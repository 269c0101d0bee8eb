"""What binds a plan to the database that it was made for, and how the database differs from it later."""

import json
from collections.abc import Iterator, Mapping

from aoc_migrate.contract.model import Part
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.fingerprint import fingerprint
from aoc_migrate.psql.script_steps import Job, upgrade_job
from aoc_migrate.report.facts.planning import BoundFacts
from aoc_migrate.report.model import Finding, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import links_set_back
from aoc_migrate.revisions.graph import contract_at, history, position, revision_of, swap_of
from aoc_migrate.revisions.revision_sql import checksum
from aoc_migrate.run.approved_plan import ApprovedPlan, digest
from aoc_migrate.run.finished_steps import FinishedSteps, Objects

_NOT_COMPARED = ("comment", "rights")
Difference = dict[str, str]
NAMED = 3  # differences in the text of the finding


def bound(session: Session, job: Job) -> BoundFacts:
    """Return what binds the plan of ``job`` to its revisions and to the catalog as it is now."""
    digests = {
        table: {kind: {name: digest(found) for name, found in objects.items()} for kind, objects in kinds.items()}
        for table, kinds in _definitions(session).items()
    }
    creates = catalog.kind(session, session.target.table) is None
    return BoundFacts(_checksums(job), digests, table_owner=session.target.table_owner if creates else None)


def _checksums(job: Job) -> dict[str, str]:
    """Return the digest of the SQL of each revision that ``job`` runs."""
    return {revision.id: checksum(revision) for revision in job.revisions}


def _definitions(session: Session) -> dict[str, Objects]:
    """Return what defines each object of the raw table, and of the tables of the view swap."""
    raw, found = session.target.table, swap_of(session.target.name)
    tables = {raw: (raw,), **({found.swap.view: (found.swap.view, found.swap.backup)} if found else {})}
    return {table: _objects_of(session, names) for table, names in tables.items()}


def _objects_of(session: Session, relations: tuple[str, ...]) -> Objects:
    """Return what defines each object of some relations; an index is one object, without its columns."""
    objects: Objects = {}
    for entry in fingerprint(session, relations):
        definition = {k: v for k, v in json.loads(entry.definition).items() if k not in _NOT_COMPARED}
        first = objects.setdefault(entry.kind, {}).setdefault(entry.object, definition)
        if first is not definition:  # two rules of one view are described alike
            first.setdefault("others", []).append(definition)
    indexes = objects.get("index", {})
    objects["relation"] = {k: v for k, v in objects.get("relation", {}).items() if k not in indexes}
    columns = objects.get("column", {}).items()
    objects["column"] = {k: v for k, v in columns if k.rpartition(".")[0] not in indexes}
    return objects


def plan_findings(session: Session, report: Report, plan: ApprovedPlan, limit: int) -> list[Finding]:
    """Return the finding ``plan-differs`` if something else would run than what was approved.

    Steps of this very plan that have run are no difference. The caller holds the lock.
    """
    began = ledger.has_run(session, plan.digest)
    found = [*_place(session, report, plan), *_revisions(session, report, plan, began=began)]
    found += [] if found else _catalog(session, plan, began=began)
    return _findings(session, plan, found, limit)


def place_findings(session: Session, report: Report, plan: ApprovedPlan) -> list[Finding]:
    """Return the finding ``plan-differs`` if the plan is for another server, database, schema or owner."""
    found = [*_place(session, report, plan)]
    return _findings(session, plan, found, len(found))


def _findings(session: Session, plan: ApprovedPlan, found: list[Difference], limit: int) -> list[Finding]:
    if not found:
        return []
    target, goal = session.target.name, plan.to_revision
    to = "" if goal == history(target)[-1].id else f" {goal or 'base'}"
    return [
        finding(
            "plan-differs",
            target,
            count=len(found),
            listed=_listed(found),
            sample=found[:limit],
            command=f"aoc-migrate plan {target}{to} --output plan.json",
        )
    ]


def _listed(found: list[Difference]) -> str:
    words = [f"{each['kind']} {each['object']} (planned: {each['planned']}, now: {each['now']})" for each in found]
    more = [f"and {len(found) - NAMED:,} more"] if len(found) > NAMED else []
    return "; ".join([*words[:NAMED], *more])


def _difference(kind: str, name: str, planned: str | None, now: str | None) -> Difference:
    return {"kind": kind, "object": name, "planned": planned or "unknown", "now": now or "unknown"}


def _place(session: Session, report: Report, plan: ApprovedPlan) -> Iterator[Difference]:
    """Yield that the plan is for another database; who may not learn the system identifier is not asked."""
    place = report.place
    if plan.system_identifier and place.system_identifier and plan.system_identifier != place.system_identifier:
        yield _difference("server", "system identifier", plan.system_identifier, place.system_identifier)
    if plan.database != place.database:
        yield _difference("database", session.target.name, plan.database, place.database)
    target = session.target
    if plan.schema != target.schema:
        yield _difference("schema", target.name, plan.schema, target.schema)
    if plan.creates(target.table) and plan.table_owner != target.table_owner:
        yield _difference("owner", target.table, plan.table_owner or "-", target.table_owner or "-")


def _revisions(session: Session, report: Report, plan: ApprovedPlan, *, began: bool) -> Iterator[Difference]:
    """Yield the revisions that differ from those that would run, and that the plan does not start at this one."""
    target = session.target.name
    links = revision_of(target, Part.CHAIN) in plan.revisions or links_set_back(session, report.revision)
    due = _checksums(upgrade_job(target, plan.from_revision, plan.to_revision, links=links))
    for id_ in sorted({*plan.revisions, *due}):
        if plan.revisions.get(id_) != due.get(id_):
            changed = "changed" if id_ in plan.revisions else "present"
            planned = "present" if id_ in plan.revisions else "absent"
            yield _difference("revision", id_, planned, changed if id_ in due else "absent")
    start, now = position(target, plan.from_revision), position(target, report.revision)
    if now != start and not (began and now > start):
        yield _difference("revision", target, plan.from_revision or "base", report.revision or "base")


def _catalog(session: Session, plan: ApprovedPlan, *, began: bool) -> Iterator[Difference]:
    """Yield the objects that differ; once a run of the plan ``began``, without what its steps have left."""
    now, contract = _definitions(session), contract_at(session.target.name, plan.to_revision)
    finished = FinishedSteps(session, contract, plan, now[contract.table]) if began else None
    for table, kinds in now.items():
        if table == contract.table:
            yield from _objects(plan.catalog.get(table, {}), kinds, finished)
        elif not (began and _swapped(session, plan)):  # the swap renames all that the plan lists, and comes last
            yield from _objects(plan.catalog.get(table, {}), kinds)


def _swapped(session: Session, plan: ApprovedPlan) -> bool:
    """Return whether a run of this plan has done the view swap."""
    target, found = session.target.name, swap_of(session.target.name)
    if found is None or position(target, plan.from_revision) >= position(target, found.revision):
        return False
    return catalog.state(session, found.revision) is not None


def _objects(
    planned: Mapping[str, Mapping[str, str]], now: Objects, finished: FinishedSteps | None = None
) -> Iterator[Difference]:
    for kind in sorted({*planned, *now}):
        old, new = planned.get(kind, {}), now.get(kind, {})
        for name in sorted({*old, *new}):
            if old.get(name) == (digest(new[name]) if name in new else None):
                continue
            if finished is None or not finished.explain(kind, name, old.get(name)):
                changed = "changed" if name in old else "present"
                yield _difference(
                    kind, name, "present" if name in old else "absent", changed if name in new else "absent"
                )
