"""The psql scripts that the guide asks for: the duplicate audit of each target, and the constraints of both."""

import json
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database.bookkeeping import BOOKKEEPING, HOLD
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.pinned_settings import preamble
from aoc_migrate.database.relation import VARIABLE
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.inspect.duplicates import duplicates_and_nulls
from aoc_migrate.operations.step import objects_left
from aoc_migrate.psql.script import VARIABLES, audit, run_values, shared_values, writable_by_others
from aoc_migrate.psql.script_steps import Job, constraints_job, remove_job
from aoc_migrate.psql.sections import Marks, objections, section
from aoc_migrate.psql.templates import as_statement, rendered
from aoc_migrate.revisions.graph import contract_at, head, history, position
from aoc_migrate.revisions.revision_sql import collect

APPLY = "apply-aoc-constraints.sql"


def operator_scripts() -> dict[str, str]:
    """Return the text of each script by its file name."""
    contracts = [contract_at(target, head(target)) for target in TARGETS]
    checks = {f"check-{c.table.replace('_', '-')}-duplicates.sql": duplicate_script(c) for c in contracts}
    return {**checks, APPLY: constraints_script()}


def duplicate_script(contract: Contract) -> str:
    """Return the duplicate audit of one raw table. With duplicates, psql exits with 3."""
    raw = VARIABLE[contract.table]
    columns = ["n bigint", *(f"{column} text" for column in contract.idempotency_key), "ids text[]"]
    groups = duplicates_and_nulls(contract, str(raw)).replace("%s", ":LIMIT")
    settings = {"lock_timeout": "0", "row_security": "off", "default_transaction_read_only": "on"}
    return rendered(
        "duplicates.sql.j2",
        version=__version__,
        table=contract.table,
        key=", ".join(contract.idempotency_key),
        preamble=preamble(settings),
        groups=as_statement(groups),
        columns=", ".join(columns),
    )


def constraints_script() -> str:
    """Return the script that adds or removes the constraints and the idempotency index of either target.

    Its steps are printed once, with marks where the targets differ: in names, and in hashes of names.
    """
    models = [_model(target) for target in TARGETS]
    marks = [_marks(target) for target in TARGETS]
    first, other = (mark.all(model) for mark, model in zip(marks, models, strict=True))
    if first != other:
        raise AssertionError("the targets differ in more than their names")
    tables = {target: contract_at(target, head(target)).table for target in TARGETS}
    return rendered(
        "constraints.sql.j2",
        **first["shared"],
        **_common_values(),
        down=False,
        job={"down": False, "converge": True},
        **{way: first[way] for way in ("apply", "remove")},
        both=[_json(mark) for mark in marks],
        first=TARGETS[0],
        either=" or ".join(TARGETS),
        names=", ".join(f"'{target}'" for target in TARGETS),
        known=", ".join(f"('{target}', '{table}')" for target, table in tables.items()),
        marks=":'aoc_marks'",
        tables="format('{%s,advisory,advisory_backup_20251028}', :'aoc_table')",
    )


def _json(marks: Marks) -> str:
    """Return marks as the script reads them, by name; the checksums are an object of their own."""
    values = {name: value for value, name in marks.values.items()}
    return json.dumps({**values, "sums": json.loads(values["sums"])})


def _common_values() -> dict[str, Any]:
    """Return the values that both targets share: the script's description, variables and revisions."""
    line, shared = history(TARGETS[0]), shared_values(TARGETS[0], Limits(), "public", links=False)
    goals = " or ".join(job.name(job.goal) for job in map(constraints_job, TARGETS))
    return {
        "about": "AOC constraints of concelier or excititor",
        "defaults": {**shared["defaults"], "remove": "0", "content": "0", "target": "''"},
        "history": " ".join(["", *(revision.id.replace(TARGETS[0], "<target>") for revision in line)]),
        "lowest": 0,
        "highest": len(line),
        "bounds": f"base to {line[-1].id}".replace(TARGETS[0], "<target>"),
        "description": [
            f"Constraints and idempotency index, as `aoc-migrate upgrade TARGET REVISION` leaves them at {goals}.",
            "The guard of the column content comes after the backfill, because it would slow it down: with the",
            "upgrade to head, or here if no row needs the backfill.",
            "",
        ],
        "variables": {
            "remove=1": "remove constraints and idempotency index, then hold the database there",
            "content=1": "guard content now, even if rows need the backfill",
            "target=NAME": f"{' or '.join(TARGETS)}; by default, the one whose raw table is there",
            **{name: about for name, about in VARIABLES.items() if not name.startswith("retrofit")},
        },
    }


def _model(target: str) -> dict[str, Any]:
    """Return the values of the script for one target."""
    up, down, limits = constraints_job(target), remove_job(target), Limits()
    contract = contract_at(target, head(target))
    shared = shared_values(target, limits, "public", links=False)
    for name in ("defaults", "history"):
        shared.pop(name)
    content = next(r for r in history(target) if r.part is Part.CONTENT)
    conditions = {content.id: ":'aoc_guard'::boolean"}
    sections = [section(up, revision, None, conditions.get(revision.id)) for revision in up.revisions]
    return {
        "shared": shared,
        "apply": {
            **_job_values(up),
            "position": up.goal,
            "guarded": position(target, content.id),
            "writable": writable_by_others(target, BOOKKEEPING),
            "audit": audit(target, contract, [r for r in up.revisions if r is not content]),
            "content_audit": audit(target, contract, [content]),
            "sections": sections,
        },
        "remove": {
            **_job_values(down),
            "left": _left(down),
            "objections": objections(down),
            "sections": [section(down, revision, None) for revision in down.revisions],
        },
    }


def _left(job: Job) -> str:
    """Return the condition that there is something to remove, or an unfinished removal to finish."""
    groups = [group for r in job.revisions for group in collect(r, job.function, VARIABLE, None)]
    unfinished = f"pg_temp.aoc_read('{HOLD}', $q$bool_or(command = '{job.command}' AND NOT finished)::text$q$)"
    return (
        f"coalesce({unfinished}, 'false')::boolean OR {objects_left(step for group in groups for step in group)}"
    )


def _job_values(job: Job) -> dict[str, Any]:
    return {**run_values(job), "job": {"down": job.down}}


def _marks(target: str) -> Marks:
    """Return the marks of a target. A value that contains another value comes first."""
    contract = contract_at(target, head(target))
    values = {run_values(constraints_job(target))["sums"]: "sums"}
    for check in contract.checks():
        what = check.name.removeprefix(f"{contract.table}_").removesuffix(f"_v{contract.version}")
        values[check.signature.rpartition(":")[2]] = f"{what} signature"
        if check.function:
            values[check.function_digest] = f"{what} digest"
    return Marks({**values, contract.table: "table", target: "target"})
