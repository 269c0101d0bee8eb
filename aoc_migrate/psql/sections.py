"""The part of a psql script for one revision, as values for its template."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from aoc_migrate.database.questions import committing, index_is_invalid
from aoc_migrate.database.relation import VARIABLE, literal
from aoc_migrate.operations.render import comment
from aoc_migrate.operations.step import CONCURRENTLY, KEPT, Batches, Kind, Lock, Objection, Step, shown, strongest
from aoc_migrate.operations.supersedes import printed
from aoc_migrate.psql.script_steps import Job, due, puts_back, stamp, unmoved
from aoc_migrate.psql.templates import MARK, as_statement
from aoc_migrate.revisions.graph import Revision
from aoc_migrate.revisions.revision_sql import collect


@dataclass(frozen=True)
class Marks:
    """Values that a script knows only when it runs, each replaced in its SQL by a mark such as ``<schema>``.

    ``values`` maps each value to the name of its mark.
    """

    values: Mapping[str, str]

    def put(self, text: str) -> str:
        """Return SQL with marks, which ``pg_temp.aoc_sql`` replaces."""
        for value, name in self.values.items():
            text = text.replace(value, f"<{name}>")
        return text.replace(str(VARIABLE), MARK)

    def all(self, value: Any) -> Any:
        """Return the same structure with marks in all of its strings."""
        match value:
            case str():
                return self.put(value)
            case dict():
                return {key: self.all(item) for key, item in value.items()}
            case list():
                return [self.all(item) for item in value]
        return value


def section(job: Job, revision: Revision, owner: str | None, condition: str | None = None) -> dict[str, Any]:
    """Return a revision's part of a script; ``condition`` replaces the job's own condition."""
    groups = collect(revision, job.function, VARIABLE, owner)
    common = (Kind.CREATE_BOOKKEEPING, Kind.SHARE)  # a script runs these once, at its beginning and its end
    return {
        "id": revision.id,
        "title": revision.title,
        "part": f"{job.function} {revision.id}: {revision.title}",
        "due": condition or due(job, revision),
        "unmoved": unmoved(job, revision),
        "groups": [_group(steps) for steps in groups if steps[0].kind not in common],
        "move": stamp(job, revision),
    }


def _group(steps: tuple[Step, ...]) -> dict[str, Any]:
    first, lock = steps[0], strongest(steps)
    comments = [
        comment(list(same)).removeprefix("-- ") for _, same in groupby(shown(steps), lambda step: step.kind)
    ]
    if isinstance(first, Batches):
        call = printed.call(first, lambda text: f"pg_temp.aoc_sql($b${text}$b$)")
        return {
            "form": "batches",
            "comments": comments,
            "needed": first.needed,
            "before": list(first.sql),  # without the retrofit gate, which the audit checks
            "call": call,
            "after": printed.after(first),
        }
    if first.kind is Kind.STOCK:
        return {"form": "stock", "comments": comments, "sql": as_statement(first.sql[0])}
    if first.kind in CONCURRENTLY:
        return {
            "form": "alone",
            "comments": comments,
            "relation": str(first.relation),
            "invalid": index_is_invalid(first.relation, first.index) if first.kind is Kind.DROP_INDEX else "",
            "objection": _busy(first) if first.kind is Kind.DROP_INDEX else _objection(first.objection),
            "needed": first.needed,
            "sql": first.sql[0],
        }
    locked = next((step for step in steps if step.lock is lock), first)
    modes = {Lock.ACCESS_EXCLUSIVE: "ACCESS EXCLUSIVE", Lock.SHARE_UPDATE_EXCLUSIVE: "SHARE UPDATE EXCLUSIVE"}
    return {
        "form": "step",
        "comments": comments,
        "relation": str(locked.relation),
        "lock": modes.get(lock, "none"),
        "steps": [
            {
                "flag": _flag(step),
                "needed": step.needed,
                "objection": _objection(step.objection),
                "sql": ";\n".join(step.sql),
            }
            for step in steps
        ],
    }


def objections(job: Job) -> list[str]:
    """Return the objections to the Steps of a job that would stop it, as quoted strings, to ask beforehand."""
    steps = (step for r in job.revisions for group in collect(r, job.function, VARIABLE, None) for step in group)
    return [_objection(step.objection) for step in steps if step.objection and step.objection.slug != KEPT]


def lacking(job: Job) -> str:
    """Return the SQL condition that the catalog lacks something that an upgrade puts back."""
    groups = (group for r in job.revisions if puts_back(r) for group in collect(r, job.function, VARIABLE, None))
    conditions = dict.fromkeys(f"({step.needed})" for group in groups for step in shown(group))
    return "\n  OR ".join(conditions) or "false"


def _flag(step: Step) -> str:
    if step.lock is not Lock.NONE:
        return "locked"
    return "kept" if step.objection and step.objection.slug == KEPT else "free"


def _busy(step: Step) -> str:
    """Return the objection of a Step that drops an index, or else that to a build that has yet to commit."""
    busy = (
        f"CASE WHEN {index_is_invalid(step.relation, step.index)} THEN {committing(step.relation)} "
        f"|| ' has yet to commit {step.index.name}: let that end, and run this again' END"
    )
    return f"$o$coalesce({_reason(step.objection)}, {busy})$o$"


def _objection(objection: Objection | None) -> str:
    """Return the SQL of an objection as a quoted string, or NULL without an objection."""
    return f"$o${_reason(objection)}$o$" if objection else "'NULL'"


def _reason(objection: Objection | None) -> str:
    if objection is None:
        return "NULL"
    kept = " is kept" if objection.slug == KEPT else ""
    return f"{literal(f'{objection.subject}{kept}: ')} || ({objection.reason})"
