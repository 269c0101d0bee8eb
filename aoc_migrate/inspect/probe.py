"""The negative probe: try one row per rule, inside a transaction that is rolled back.

A clone of an existing row (a made-up one in an empty table) must be accepted first; then each rule is broken
once and must be refused with its own SQLSTATE and constraint (for NOT NULL: column). INSERT triggers of the
table fire as for any row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, make

_ID = "'aoc-migrate-probe'"
_HASH = "'sha256:' || repeat('0', 64)"

_MADE_UP = {
    "id": _ID,
    "tenant": "'aoc-migrate-probe'",
    "source_vendor": "'aoc-migrate-probe'",
    "upstream_id": "'aoc-migrate-probe'",
    "content_hash": _HASH,
    "retrieved_at": "now()",
    "source": "'{}'",
    "upstream": "'{}'",
    "linkset": "'{}'",
}


@dataclass(frozen=True)
class Attempt:
    """One row to try: what it breaks, the columns set for that, and how it must be refused."""

    what: str
    values: dict[str, str]
    sqlstate: str
    name: str


def attempts(contract: Contract, parts: set[Part]) -> Iterator[Attempt]:
    """Yield an attempt for each rule of each part that stands."""
    if Part.GUARD in parts:
        not_null = ("23502", None) if Part.PROOF in parts else ("23514", contract.required_check().name)
        for name in contract.required:
            yield Attempt(f"no {name}", {name: "NULL"}, not_null[0], not_null[1] or name)
        for name in contract.keys:
            yield Attempt(f"blank {name}", {name: "' '"}, "23514", contract.blank_check().name)
    for column in contract.objects:
        part = Part.CONTENT if column.name == contract.document else Part.GUARD
        if part not in parts:
            continue
        constraint = contract.object_check(column).name
        for shape in ("[]", '"text"', "null"):
            yield Attempt(f"{column.name} is {shape}", {column.name: f"'{shape}'"}, "23514", constraint)
        for key in (*contract.forbidden_keys, f"{contract.forbidden_prefix}x"):
            value = f"""coalesce({column.name}, '{{}}') || '{{"{key}": 1}}'"""
            yield Attempt(f"{key} in {column.name}", {column.name: value}, "23514", constraint)
    if Part.IDEMPOTENCY in parts:
        duplicate = {"id": f"{_ID} || '-again'", "content_hash": _HASH}
        yield Attempt("a duplicate", duplicate, "23505", contract.idempotency_index().name)


def probe(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    """Yield ``probe-accepted``, ``probe-wrong-error`` or ``probe-not-possible``; nothing is kept."""
    with session.connection.transaction(force_rollback=True):
        problem = _insert(session, _first_row(session, contract), keep=True)
        if problem is not None:
            reason = _reason(problem)
            yield make("probe-not-possible", contract.table, reason=reason, target=session.target.name)
            return
        columns = _columns(session, contract.table)
        for attempt in attempts(contract, parts):
            yield from _judge(session, contract, columns, attempt)


def _first_row(session: Session, contract: Contract) -> str:
    """Return the INSERT of a row that must be accepted, which the attempts then clone and break."""
    if not session.value(f"SELECT EXISTS (SELECT FROM {contract.table})"):
        return f"INSERT INTO {contract.table} ({', '.join(_MADE_UP)}) VALUES ({', '.join(_MADE_UP.values())})"
    columns = _columns(session, contract.table)
    return _clone(contract, columns, {"id": _ID, "content_hash": _HASH}, "true")


def _clone(contract: Contract, columns: list[str], values: dict[str, str], where: str) -> str:
    table = contract.table
    picked = ", ".join(values.get(c, f"{table}.{c}") for c in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picked} FROM {table} WHERE {where} LIMIT 1"


def _judge(session: Session, contract: Contract, columns: list[str], attempt: Attempt) -> Iterator[Finding]:
    values = {"id": f"{_ID} || '-broken'", "content_hash": f"{_HASH} || '-broken'", **attempt.values}
    error = _insert(session, _clone(contract, columns, values, f"id = {_ID}"), keep=False)
    if error is None:
        yield make("probe-accepted", contract.table, what=attempt.what, target=session.target.name)
    elif (error.sqlstate, _refused_by(error)) != (attempt.sqlstate, attempt.name):
        yield make("probe-wrong-error", contract.table, what=attempt.what, reason=_reason(error))


def _columns(session: Session, table: str) -> list[str]:
    """Return the columns that an INSERT may set, quoted."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s)) "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
        (table,),
    )
    return [row["name"] for row in rows]


def _insert(session: Session, statement: str, *, keep: bool) -> psycopg.Error | None:
    """Run an INSERT in a savepoint; return the refusal, or None when it was accepted."""
    try:
        with session.connection.transaction(force_rollback=not keep):
            session.run(statement)
    except psycopg.Error as error:
        return error
    return None


def _refused_by(error: psycopg.Error) -> str | None:
    """Return the column of a NOT NULL violation (PostgreSQL 18 names a constraint there), else the constraint."""
    return error.diag.column_name if error.sqlstate == "23502" else error.diag.constraint_name


def _reason(error: psycopg.Error) -> str:
    name = _refused_by(error)
    return f"{error.sqlstate}{f' {name}' if name else ''}: {error.diag.message_primary or 'no message'}"
