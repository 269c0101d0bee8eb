"""The negative probe: try rows that break the rules, inside a transaction that is rolled back.

A good row must be accepted first; then each rule is broken in several ways, and each of these rows must be refused
with its own SQLSTATE and constraint (for NOT NULL: column). INSERT triggers of the table fire as for any row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.contract.rules import KEY_BYTES, TIME
from aoc_migrate.database.attached_code import FOREIGN, INSERT, NEEDS, code_findings
from aoc_migrate.database.partitions import index_names, key_columns
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.probe_row import ID, MOST, OTHER_HASH, ROWS, good_rows
from aoc_migrate.inspect.probe_try import Refusal, tried
from aoc_migrate.report.model import Finding, finding

UNPROBED = {"probe-not-possible", FOREIGN, NEEDS}
"""Findings after which no bad row was tried."""


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


def attempts(contract: Contract, parts: set[Part]) -> Iterator[Attempt]:
    """Yield an attempt for each rule of each part that stands."""
    if Part.GUARD in parts:
        for name in contract.required:
            yield _without(contract, name, proven=Part.PROOF in parts)
        for name in contract.keys:
            yield Attempt(f"blank {name}", {name: "E' \\u3000'"}, "23514", (contract.keys_check().name,))
        too_long = {"id": f"repeat('x', {KEY_BYTES})"}
        yield Attempt("an id that is too long", too_long, "23514", (contract.keys_check().name,), long=True)
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
        duplicate = {"id": f"{ID} || '3'", **{c: f"t.{c}" for c in contract.idempotency_key}}
        yield Attempt("a duplicate", duplicate, "23505", (contract.idempotency_index().name,))


def _routed(session: Session, contract: Contract, keys: set[str], tried: Iterator[Attempt]) -> Iterator[Attempt]:
    """Yield attempts as a table that is partitioned by ``keys`` refuses them; as they are for any other.

    A row for which there is no partition is refused (23514, no constraint) before any rule is looked at, and the
    index that refuses a duplicate is the partition's.
    """
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
    """Yield ``probe-accepted``, ``probe-wrong-error`` or ``probe-not-possible``; nothing is kept.

    Where INSERT would run code that it must not, yield ``foreign-code`` or ``needs-search-path``, and try nothing.
    """
    keys = {c for columns in key_columns(session, contract.table).values() for c in columns if c}
    with session.connection.transaction(force_rollback=True):
        if session.value("SELECT has_table_privilege(to_regclass(%s), 'UPDATE, DELETE')", (str(session.raw),)):
            session.run(f"LOCK TABLE {session.raw} IN ROW EXCLUSIVE MODE")  # from now on nobody attaches a trigger
        if refused := code_findings(session, contract, INSERT):
            yield from refused
            return
        columns, problem = _stored(session, contract, keys)
        if problem is not None:
            yield finding("probe-not-possible", contract.table, reason=problem, target=session.target.name)
            return
        chosen = list(_routed(session, contract, keys, attempts(contract, parts)))
        statements = [_broken(session, contract, columns, keys, attempt) for attempt in chosen]
        for attempt, refusal in zip(chosen, tried(session, statements, keep=False), strict=True):
            yield from _judge(session, contract, attempt, refusal)


def _stored(session: Session, contract: Contract, keys: set[str]) -> tuple[list[str], str | None]:
    """Store a good row; return the columns that were set, and why none was stored."""
    problem = None
    for good in good_rows(session, contract, keys):
        if good.lacks:
            problem = problem or (
                f"none of the first {ROWS:,} rows has a value of at most {MOST} bytes in {good.lacks}, "
                "and longer values are not copied"
            )
            continue
        (refusal,) = tried(session, [good.statement], keep=True)
        if refusal is None:
            return good.columns, None
        problem = problem or str(refusal)
    return [], problem


def _broken(session: Session, contract: Contract, columns: list[str], keys: set[str], attempt: Attempt) -> str:
    """Return the INSERT of a row that is the good one but for what the attempt breaks, and for its keys."""
    raw = session.schema[contract.table]
    # Another hash makes it another document; where partitions hang on the hash, another upstream id does.
    other = {"upstream_id": f"{ID} || '2'"} if "content_hash" in keys else {"content_hash": OTHER_HASH}
    values = {"id": f"{ID} || '2'", **other, **attempt.values}
    picked = ", ".join(values.get(c, f"t.{c}") for c in columns)
    return f"INSERT INTO {raw} ({', '.join(columns)}) SELECT {picked} FROM {raw} AS t WHERE id = {ID} LIMIT 1"


def _judge(session: Session, contract: Contract, attempt: Attempt, refusal: Refusal | None) -> Iterator[Finding]:
    if refusal is None:
        yield finding("probe-accepted", contract.table, what=attempt.what, target=session.target.name)
    elif (attempt.routed and (refusal.sqlstate, refusal.name) == ("23514", None)) or (
        attempt.long and refusal.sqlstate == "22001"  # string_data_right_truncation
    ):
        return
    elif refusal.sqlstate != attempt.sqlstate or refusal.name not in attempt.names:
        yield finding("probe-wrong-error", contract.table, what=attempt.what, reason=str(refusal))
