"""Migrations as psql scripts: `plan --sql`, and the operators' scripts of the guide.

The templates in psql/ share predicates and Steps with the commands. A script that stopped can be run again.
"""

import json
from collections.abc import Iterable
from typing import Any

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract, Part, ViewSwap
from aoc_migrate.database.attached_code import NEEDS, attached, attached_to_ddl
from aoc_migrate.database.batch_guard import strangers
from aoc_migrate.database.bookkeeping import (
    BOOKKEEPING,
    HOLD,
    JOURNAL,
    LOG,
    STATE,
    VERSION,
    create_bookkeeping,
    share,
)
from aoc_migrate.database.events import LINKING
from aoc_migrate.database.key_owners import KEY_OWNER
from aoc_migrate.database.limits import Limits
from aoc_migrate.database.majors import TOO_OLD
from aoc_migrate.database.own_tables import flaws, writers
from aoc_migrate.database.pinned_settings import LIFT, preamble
from aoc_migrate.database.questions import QUESTIONS, column_exists
from aoc_migrate.database.relation import VARIABLE, literal
from aoc_migrate.database.runner_lock import HELD
from aoc_migrate.database.state import recorded
from aoc_migrate.inspect.dependents import partial_readers, users_of_rows
from aoc_migrate.inspect.duplicates import duplicates
from aoc_migrate.inspect.replication import PUBLISHED, SUBSCRIBED, replicated
from aoc_migrate.inspect.temp_files import LIKE_A_BUILD, sort_of
from aoc_migrate.operations.supersedes.link_obstacles import row_obstacles, statement_obstacles
from aoc_migrate.operations.supersedes.printed import HOLDERS, procedures
from aoc_migrate.operations.supersedes.statements import CHAIN, new_links, old_links, update_triggers, wrong_links
from aoc_migrate.psql.script_steps import Job
from aoc_migrate.psql.sections import lacking, objections, section
from aoc_migrate.psql.templates import RAW, as_statement, in_body, rendered
from aoc_migrate.report import ticket
from aoc_migrate.report.accepted import ACCEPTABLE
from aoc_migrate.revisions.graph import (
    Revision,
    altered_tables,
    contract_at,
    history,
    revision_of,
    swap_of,
)
from aoc_migrate.revisions.revision_sql import checksum

VARIABLES = {
    "schema=NAME": "schema of the tables",
    "release_hold=1": "upgrade even though a rollback holds the database",
    "retrofit=1": "let the backfill write links, as AOC_ALLOW_SUPERSEDES_RETROFIT=true does",
    "accept=SLUG:OBJECT": "findings to accept, separated by commas",
    "ticket=NAME": "change ticket, such as CHG-1234, for the ledger",
}
_OPTION = (
    "'-v ' || CASE WHEN object ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || object "
    """ELSE '\'\'' || replace('accept=' || object, '\'\'', '\'\'"\'\'"\'\'') || '\'\'' END"""
)
_DOWNGRADE_VARIABLES = ("schema=NAME", "accept=SLUG:OBJECT", "ticket=NAME")


def script(job: Job, limits: Limits, schema: str = "public", owner: str | None = None) -> str:
    """Return the psql script of a job. ``schema`` is its default; ``owner`` gets a table that it creates."""
    goal = job.name(job.goal) if job.goal else None
    links = any(revision.part is Part.CHAIN for revision in job.revisions)
    found = swap_of(job.target)
    return rendered(
        "job.sql.j2",
        **shared_values(job.target, limits, schema, found.swap if found else None, links=links),
        **run_values(job),
        about=f"{job.target}, from {job.name(job.start)} to {job.name(job.goal)}",
        description=[],
        variables={name: VARIABLES[name] for name in (_DOWNGRADE_VARIABLES if job.down else VARIABLES)},
        marks="'{}'",
        tables=literal(f"{{{','.join(altered_tables(job.target))}}}"),
        down=job.down,
        batches=procedures(limits.deadline, "PERFORM pg_temp.aoc_our_tables(), pg_temp.aoc_triggers()"),
        lowest=min(job.start, job.goal),
        highest=max(job.start, job.goal),
        bounds=" to ".join(dict.fromkeys(job.name(n) for n in sorted((job.start, job.goal)))),
        lacking="" if job.down else lacking(job),
        writable=""
        if job.down and not links
        else writable_by_others(job.target, [JOURNAL] if job.down else BOOKKEEPING),
        undone_swap=_undone_swap(job),
        audit="" if job.down else audit(job.target, contract_at(job.target, goal), job.revisions),
        objections=objections(job) if job.down else [],
        sections=[section(job, revision, owner) for revision in job.revisions],
    )


def shared_values(
    target: str, limits: Limits, schema: str, swap: ViewSwap | None = None, *, links: bool
) -> dict[str, Any]:
    """Return the values that every script needs.

    ``swap``: the target's view swap, which the script may do or undo. ``links``: it sets links, or sets them back.
    """
    contract = contract_at(target, None)
    raw = VARIABLE[contract.table]
    made = (VERSION, STATE, HOLD, LOG, JOURNAL) if links else (VERSION, STATE, HOLD, LOG)
    quoted = literal(schema).translate({ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r"})  # as psql reads it
    return {
        "version": __version__,
        "target": target,
        "limits": limits,
        "stall_ms": round(limits.max_stall * 1000),
        "deadline_ms": round(limits.deadline * 1000),
        "defaults": {"schema": quoted, "retrofit": "0", "release_hold": "0", "accept": "''", "ticket": "''"},
        "preamble": preamble({"lock_timeout": f"{limits.deadline}s", "row_security": "off"}),
        "too_old": TOO_OLD,
        "lift": LIFT,
        "like_a_build": LIKE_A_BUILD,
        "sorts": [
            [index.name, sort_of(index, VARIABLE[contract.table])]
            for index in (contract.idempotency_index(), contract.chain_index())
        ],
        "accepted": f"regexp_split_to_array(current_setting('aoc.accept'), ',(?=({'|'.join(ACCEPTABLE)}):)')",
        "acceptable": ACCEPTABLE,
        "ticket": ticket,
        "questions": [question.function for question in QUESTIONS],
        "locked_bookkeeping": f"'{VARIABLE[STATE]}', '{VARIABLE[JOURNAL]}'",
        "flaws": in_body(flaws(VARIABLE, RAW, tuple(BOOKKEEPING))),
        "version_name": VERSION,
        "hold_name": HOLD,
        "journal_name": JOURNAL,
        "backfill": revision_of(target, Part.CHAIN),
        "chain": CHAIN,
        "log": as_statement(str(VARIABLE[LOG])),
        "hold": as_statement(str(VARIABLE[HOLD])),
        "holders": HOLDERS,
        "held": HELD.format(key="current_setting('aoc.lock')::bigint").strip(),
        "history": " ".join(["", *(revision.id for revision in history(target))]),
        "links": links,
        "code": in_body(attached(RAW, [contract], LINKING)),
        "statement_obstacles": in_body(statement_obstacles(contract, RAW)),
        "row_obstacles": in_body(row_obstacles(contract, RAW)),
        "new_links": new_links(contract, VARIABLE),
        "old_links": old_links(contract, VARIABLE),
        "strangers": in_body(strangers(RAW)),
        "code_of_ddl": in_body(attached_to_ddl(RAW)),
        "option": _OPTION,
        "replicated": in_body(replicated(VARIABLE, RAW, swap, made)),
        "of_tables": f"'{PUBLISHED}', '{SUBSCRIBED}'",
        "needs": NEEDS,
        "key_owner": KEY_OWNER,
        "columns": ", ".join(
            literal(c.name) for c in contract.columns if c.name not in (contract.link, "created_at")
        ),
        "column_exists": column_exists(raw, contract.link),
        "wrong": wrong_links(contract, raw),
        "chain_key": ", ".join(contract.chain_key),
        "chained": contract.chained(),
        "raw": str(raw),
        "triggers": in_body(update_triggers(contract, RAW)),
        "swap": swap
        and {
            "view": in_body(VARIABLE[swap.view].literal),
            "backup": in_body(VARIABLE[swap.backup].literal),
            "users": in_body(users_of_rows(VARIABLE[swap.view])),
            "readers": in_body(partial_readers(VARIABLE[swap.view])),
        },
        "bookkeeping": create_bookkeeping(VARIABLE, VERSION, STATE, HOLD, LOG),
        "share": share(VARIABLE, raw),
    }


def _undone_swap(job: Job) -> str:
    """Return what replication would notice of the view swap's way back, as an SQL array of SLUG:OBJECT."""
    found = swap_of(job.target)
    if found is None or found.revision not in [revision.id for revision in job.revisions]:
        return "'{}'"
    swapped = recorded(VARIABLE, found.revision, "(value->>'swapped')::boolean")
    changed = f"ARRAY['{PUBLISHED}:{found.swap.backup}', '{SUBSCRIBED}:{found.swap.backup}']"
    return f"CASE WHEN pg_temp.aoc_asks($q${swapped}$q$) THEN {changed} END"


def run_values(job: Job) -> dict[str, Any]:
    """Return what a script records of its run: command, goal, checksums of the revisions, and hold."""
    return {
        "job": job,
        "command": job.command,
        "goal": job.name(job.goal),
        "sums": json.dumps({r.id: checksum(r) for r in job.revisions if not job.down}),
        "begin_hold": _begin_hold(job),
    }


def audit(target: str, contract: Contract, revisions: Iterable[Revision]) -> str:
    """Return the arguments of the procedure that audits what ``revisions`` need."""
    within = list(revisions)
    parts, found = {revision.part for revision in within}, swap_of(target)
    rules = [*contract.row_checks(), contract.required_check()] if Part.GUARD in parts else []
    rules += [contract.document_check()] if Part.CONTENT in parts else []
    listed = ",\n  ".join(f"ARRAY['{r.name}', '{r.signature}', $p${r.predicate}$p$]" for r in rules)
    index = VARIABLE[contract.idempotency_index().name]
    valid = f"EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass({index.literal}) AND indisvalid)"
    groups = (
        f"SELECT d.groups FROM ({duplicates(contract, VARIABLE[contract.table])} LIMIT 1) AS d WHERE NOT {valid}"
    )
    chain = next((revision.id for revision in within if revision.part is Part.CHAIN), None)
    names = [found.swap.view, found.swap.backup] if found and found.revision in [r.id for r in within] else None
    return ", ".join(
        [
            f"ARRAY[\n  {listed}]" if listed else "NULL",
            f"\n  $g${groups}$g$" if Part.IDEMPOTENCY in parts else "NULL",
            "NOT " + recorded(VARIABLE, chain, "(value->>'done')::boolean") if chain else "false",
            f"ARRAY{names}" if names else "NULL",
        ]
    )


def _begin_hold(job: Job) -> str:
    revision = "nullif(:'aoc_revision', '')" if job.converge else f"nullif('{job.name(job.goal)}', 'base')"
    columns = ("command", "revision", "held_by", "held_at", "finished", "acknowledged")
    changed = ", ".join(f"{column} = excluded.{column}" for column in columns)
    # A removal leaves the hold of a downgrade that has not finished as it is.
    unless = " WHERE held.finished OR held.command NOT LIKE '%downgrade %'" if job.converge else ""
    return f"""INSERT INTO {as_statement(str(VARIABLE[HOLD]))} AS held ({", ".join(columns)})
  SELECT '{job.command}', {revision}, current_user || '@psql', now(), false, true
  ON CONFLICT (one) DO UPDATE SET {changed}{unless};"""


def writable_by_others(target: str, names: Iterable[str]) -> str:
    """Return the SQL text that names who else may write to tables of ours; NULL if nobody may."""
    found = writers(VARIABLE, VARIABLE[altered_tables(target)[0]], tuple(names))
    return f"""(SELECT 'others may write to ' || string_agg(format('%s (%s: %s)', name, grantee, rights), ', ')
  || ', which decides what is done and undone: find out whether they did, and run: '
  || string_agg(format('REVOKE %s ON %s FROM %s;', rights, relation, grantee), ' ')
FROM ({found}) AS w)"""
