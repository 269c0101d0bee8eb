"""The negative probe: try rows that break the rules, inside a transaction that is rolled back.

A clone of an existing row (a made-up one in an empty table) must be accepted first; then each rule is broken in
several ways, and each of these rows must be refused with its own SQLSTATE and constraint (for NOT NULL: column).
INSERT triggers of the table fire as for any row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.contract.rules import KEY_BYTES, TIME
from aoc_migrate.database.partitions import index_names, key_columns
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
    """One row to try: what it breaks, the columns set for that, and how it must be refused.

    ``names``: the constraints, or for 23502 the column, of which one must refuse it. ``routed``: it sets a column
    of a partition key, so that there may be no partition for it. ``long``: varchar(n) may refuse it first.
    """

    what: str
    values: dict[str, str]
    sqlstate: str
    names: tuple[str | None, ...]
    routed: bool = False
    long: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why a row was not stored: SQLSTATE and the constraint or column, or nothing but silence."""

    sqlstate: str | None
    name: str | None
    message: str

    def __str__(self) -> str:
        """Return it in words."""
        if self.sqlstate is None:
            return self.message
        return f"{self.sqlstate}{f' {self.name}' if self.name else ''}: {self.message}"


_DISCARDED = Refusal(None, None, "the row was not stored, and no error was raised (a trigger or rule discards it)")


def attempts(contract: Contract, parts: set[Part]) -> Iterator[Attempt]:
    """Yield an attempt for each rule of each part that stands."""
    if Part.GUARD in parts:
        for name in contract.required:
            yield _without(contract, name, proven=Part.PROOF in parts)
        for name in contract.keys:
            yield Attempt(f"blank {name}", {name: "E' \\u3000'"}, "23514", (contract.keys_check().name,))
        too_long = {"id": f"repeat('x', {KEY_BYTES})"}
        yield Attempt("an id too long", too_long, "23514", (contract.keys_check().name,), long=True)
        yield Attempt(f"an infinite {TIME}", {TIME: "'infinity'"}, "23514", (contract.keys_check().name,))
    for column in contract.objects:
        part = Part.CONTENT if column.name == contract.document else Part.GUARD
        if part not in parts:
            continue
        guard = contract.document_check() if column.name == contract.document else contract.objects_check()
        for shape in ("[]", '"text"', "null"):
            yield Attempt(f"{column.name} is {shape}", {column.name: f"'{shape}'"}, "23514", (guard.name,))
        for key in (*contract.forbidden_keys, f"{contract.forbidden_prefix}x"):
            value = f"""coalesce({column.name}, '{{}}') || '{{"{key}": 1}}'"""
            yield Attempt(f"{key} in {column.name}", {column.name: value}, "23514", (guard.name,))
    if Part.IDEMPOTENCY in parts:
        duplicate = {"id": f"{_ID} || '-again'", "content_hash": _HASH}
        yield Attempt("a duplicate", duplicate, "23505", (contract.idempotency_index().name,))


def _routed(session: Session, contract: Contract, tried: Iterator[Attempt]) -> Iterator[Attempt]:
    """Yield attempts as a partitioned table refuses them; as they are for any other.

    A row for which there is no partition is refused (23514, no constraint) before any rule is looked at, and the
    index that refuses a duplicate is the partition's.
    """
    keys = {column for columns in key_columns(session, contract.table).values() for column in columns}
    for attempt in tried:
        if attempt.sqlstate == "23505":
            yield replace(attempt, names=tuple(index_names(session, contract.idempotency_index())))
        elif keys & set(attempt.values):
            yield replace(attempt, routed=True)
        else:
            yield attempt


def _without(contract: Contract, name: str, *, proven: bool) -> Attempt:
    """Return the attempt to store NULL. Before NOT NULL stands, CHECKs refuse it, in the order of their names."""
    if proven:
        return Attempt(f"no {name}", {name: "NULL"}, "23502", (name,))
    own = [check.name for check in (contract.objects_check(), contract.document_check()) if name in check.columns]
    return Attempt(f"no {name}", {name: "NULL"}, "23514", (contract.required_check().name, *own))


def probe(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    """Yield ``probe-accepted``, ``probe-wrong-error`` or ``probe-not-possible``; nothing is kept."""
    with session.connection.transaction(force_rollback=True):
        problem = _insert(session, _first_row(session, contract), keep=True)
        if problem is not None:
            yield make("probe-not-possible", contract.table, reason=str(problem), target=session.target.name)
            return
        columns = _columns(session, contract.table)
        for attempt in _routed(session, contract, attempts(contract, parts)):
            yield from _judge(session, contract, columns, attempt)


def _first_row(session: Session, contract: Contract) -> str:
    """Return the INSERT of a row that must be accepted, which the attempts then clone and break."""
    raw = session.schema[contract.table]
    if not session.value(f"SELECT EXISTS (SELECT FROM {raw})"):
        return f"INSERT INTO {raw} ({', '.join(_MADE_UP)}) VALUES ({', '.join(_MADE_UP.values())})"
    columns = _columns(session, contract.table)
    return _clone(session, contract, columns, {"id": _ID, "content_hash": _HASH}, "true")


def _clone(session: Session, contract: Contract, columns: list[str], values: dict[str, str], where: str) -> str:
    table, picked = session.schema[contract.table], ", ".join(values.get(c, f"t.{c}") for c in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picked} FROM {table} AS t WHERE {where} LIMIT 1"


def _judge(session: Session, contract: Contract, columns: list[str], attempt: Attempt) -> Iterator[Finding]:
    values = {"id": f"{_ID} || '-broken'", "content_hash": f"{_HASH} || '-broken'", **attempt.values}
    refusal = _insert(session, _clone(session, contract, columns, values, f"id = {_ID}"), keep=False)
    if refusal is None:
        yield make("probe-accepted", contract.table, what=attempt.what, target=session.target.name)
    elif (attempt.routed and (refusal.sqlstate, refusal.name) == ("23514", None)) or (
        attempt.long and refusal.sqlstate == "22001"  # string_data_right_truncation
    ):
        return
    elif refusal.sqlstate != attempt.sqlstate or refusal.name not in attempt.names:
        yield make("probe-wrong-error", contract.table, what=attempt.what, reason=str(refusal))


def _columns(session: Session, table: str) -> list[str]:
    """Return the columns that an INSERT may set, quoted."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(%s) "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
        (str(session.schema[table]),),
    )
    return [row["name"] for row in rows]


def _insert(session: Session, statement: str, *, keep: bool) -> Refusal | None:
    """Run an INSERT in a savepoint; return why the row was not stored, None when it was."""
    try:
        with session.connection.transaction(force_rollback=not keep):
            stored = session.run(statement)
    except psycopg.Error as error:
        # PostgreSQL 18 names a constraint for NOT NULL; all versions name the column.
        name = error.diag.column_name if error.sqlstate == "23502" else error.diag.constraint_name
        return Refusal(error.sqlstate, name, error.diag.message_primary or "no message")
    return None if stored == 1 else _DISCARDED
