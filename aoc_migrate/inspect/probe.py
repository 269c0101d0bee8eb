"""The negative probe: insert rows that break the rules, in a transaction that is rolled back.

First a good row must be accepted. Then each rule is broken in several ways, and each bad row must be refused with
the right SQLSTATE and constraint (for NOT NULL: column). The table's INSERT triggers fire as for any row.

A shard names its constraints after ours, and its error names them only in the message.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aoc_migrate.contract.model import Contract, Part
from aoc_migrate.contract.rules import KEY_BYTES, TIME
from aoc_migrate.database.attached_code import FOREIGN, NEEDS, code_findings
from aoc_migrate.database.events import INSERT
from aoc_migrate.database.key_owners import KEY_OWNER
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import index_names, key_columns
from aoc_migrate.database.spread.shape import Spread, spread_of
from aoc_migrate.database.worker_path import begun
from aoc_migrate.inspect.probe_row import ID, LONGEST_COPY, OTHER_HASH, SEARCHED_ROWS, Good, good_rows
from aoc_migrate.inspect.probe_try import Refusal, try_inserts
from aoc_migrate.report.model import Finding, finding

NO_SHARD = "22004"  # null_value_not_allowed: Citus finds no shard for a row without its distribution column
UNPROBED = {"probe-not-possible", FOREIGN, NEEDS, KEY_OWNER}
"""Findings that mean that no bad row was tried."""


@dataclass(frozen=True)
class Attempt:
    """One bad row: what it breaks, the columns set for that, and the refusal it must meet.

    ``names``: the constraints (for 23502: the column), one of which must refuse it. ``routed``: it sets a column
    of a partition key, so there may be no partition for it. ``long``: a varchar(n) may refuse it first.
    """

    what: str
    values: dict[str, str]
    sqlstate: str
    names: tuple[str | None, ...]
    routed: bool = False
    long: bool = False


def attempts(contract: Contract, parts: set[Part], row: Mapping[str, str]) -> Iterator[Attempt]:
    """Yield attempts to break each rule of ``parts``; ``row`` has the value of each column of the stored row."""
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
            value = f"""coalesce({row[column.name]}, '{{}}') || '{{"{key}": 1}}'"""
            yield Attempt(f"{key} in {column.name}", {column.name: value}, "23514", (guard.name,))
    if Part.IDEMPOTENCY in parts:
        duplicate = {"id": f"{ID} || '3'", **{c: row[c] for c in contract.idempotency_key}}
        yield Attempt("a duplicate", duplicate, "23505", (contract.idempotency_index().name,))


def _routed(session: Session, contract: Contract, keys: set[str], plain: Iterator[Attempt]) -> Iterator[Attempt]:
    """Yield the ``plain`` attempts with the refusals of a table that is partitioned by ``keys``.

    A row without a partition is refused (23514, no constraint) before any rule is checked, and a duplicate is
    refused by the partition's index.
    """
    for attempt in plain:
        if attempt.sqlstate == "23505":
            yield replace(attempt, names=tuple(index_names(session, contract.idempotency_index())))
        elif keys & set(attempt.values):
            yield replace(attempt, routed=True)
        else:
            yield attempt


def _without(contract: Contract, name: str, *, proven: bool) -> Attempt:
    """Return the attempt to store NULL. Without NOT NULL, the first CHECK by name refuses it."""
    if proven:
        return Attempt(f"no {name}", {name: "NULL"}, "23502", (name,))
    own = [check.name for check in (contract.objects_check(), contract.document_check()) if name in check.columns]
    return Attempt(f"no {name}", {name: "NULL"}, "23514", (contract.required_check().name, *own))


def probe(session: Session, contract: Contract, parts: set[Part]) -> Iterator[Finding]:
    """Yield ``probe-accepted``, ``probe-wrong-error`` or ``probe-not-possible``; roll everything back.

    If INSERT would run code of untrusted roles, yield what `code_findings` finds and try nothing.
    """
    keys = {c for columns in key_columns(session, contract.table).values() for c in columns if c}
    spread = spread_of(session, contract.table)
    with begun(session.connection, session.on_cluster, force_rollback=True):
        if session.value("SELECT has_table_privilege(to_regclass(%s), 'UPDATE, DELETE')", (str(session.raw),)):
            session.run(f"LOCK TABLE {session.raw} IN ROW EXCLUSIVE MODE")  # keeps new triggers out
        if code := code_findings(session, contract, INSERT):
            yield from code
            return
        good, problem = _stored(session, contract, keys, literal=spread.placement is not None)
        if good is None:
            yield finding("probe-not-possible", contract.table, reason=problem, target=session.target.name)
            return
        routed = list(_routed(session, contract, keys, attempts(contract, parts, good.row)))
        statements = [_broken(good, keys, attempt) for attempt in routed]
        refusals = zip(routed, try_inserts(session, statements, keep=False), strict=True)
        found = [
            each for attempt, refusal in refusals for each in _judge(session, contract, spread, attempt, refusal)
        ]
        session.checked("bad rows are refused, each by its rule", len(routed), "bad rows", len(found))
        yield from found


def _stored(
    session: Session, contract: Contract, keys: set[str], *, literal: bool
) -> tuple[Good | None, str | None]:
    """Store a good row; return it, or why it could not be stored."""
    problem = None
    for good in good_rows(session, contract, keys, literal=literal):
        if good.lacks:
            problem = problem or (
                f"none of the first {SEARCHED_ROWS:,} rows has a value of at most {LONGEST_COPY} bytes in "
                f"{good.lacks}, and longer values are not copied"
            )
            continue
        (refusal,) = try_inserts(session, [good.statement], keep=True)
        if refusal is None:
            return good, None
        problem = problem or str(refusal)
    return None, problem


def _broken(good: Good, keys: set[str], attempt: Attempt) -> str:
    """Return the INSERT of a copy of the good row with other keys and the values of the attempt."""
    # Another hash makes it another document; if partitions depend on the hash, another upstream id does.
    other = {"upstream_id": f"{ID} || '2'"} if "content_hash" in keys else {"content_hash": OTHER_HASH}
    return good.but({"id": f"{ID} || '2'", **other, **attempt.values})


def _judge(
    session: Session, contract: Contract, spread: Spread, attempt: Attempt, refusal: Refusal | None
) -> Iterator[Finding]:
    if refusal is None:
        yield finding("probe-accepted", contract.table, what=attempt.what, target=session.target.name)
        return
    name = refusal.name
    if spread.placement is not None and name not in attempt.names:
        name = next((name for name in attempt.names if name and _names(refusal.message, name)), name)
    if (
        (attempt.routed and (refusal.sqlstate, name) == ("23514", None))
        or (attempt.long and refusal.sqlstate == "22001")  # string_data_right_truncation
        or (attempt.values.get(spread.column or "") == "NULL" and refusal.sqlstate == NO_SHARD)
    ):
        return
    if refusal.sqlstate != attempt.sqlstate or name not in attempt.names:
        yield finding("probe-wrong-error", contract.table, what=attempt.what, reason=str(refusal))


def _names(message: str, name: str) -> bool:
    """Return whether a shard's error names a constraint, to which it adds its own id, or a column.

    Citus shortens long names, and puts a hash between the rest and the id. Ids have six digits or more.
    """
    whole = re.escape(name)
    short = "|".join(rf"{re.escape(name[:length])}_[0-9a-f]{{8}}_\d{{6,}}" for length in range(30, len(name)))
    return (
        re.search(rf"(?<!\w)(?:{whole}|{whole}_\d{{6,}}{'|' if short else ''}{short})(?!\w)", message) is not None
    )
