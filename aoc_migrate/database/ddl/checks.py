"""CHECK constraints with their functions, and NOT NULL: guard new rows first, prove the old ones later."""

import time
from collections.abc import Iterable, Sequence
from typing import TypeVar

from aoc_migrate.contract.rules import Check
from aoc_migrate.database import catalog
from aoc_migrate.database.books import STATE
from aoc_migrate.database.ddl.functions import add_constraint, create_function, drop_function, grant_execute, sign
from aoc_migrate.database.ddl.own_nulls import drop_not_nulls, own_not_nulls
from aoc_migrate.database.ddl.printing import migration, needed, online, schema
from aoc_migrate.database.ddl.run import note, strong, weak
from aoc_migrate.database.ours import foreign
from aoc_migrate.database.partitions import is_partitioned
from aoc_migrate.database.relation import Relation, literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.signature import standing
from aoc_migrate.database.state import forget, keep, record, recorded
from aoc_migrate.report.model import Stopped, make

_T = TypeVar("_T")


def add_checks(table: str, checks: Sequence[Check], proof: Check | None = None) -> None:
    """Add CHECKs as NOT VALID in one ALTER, with the functions that they call: new rows are held from this moment.

    ``proof`` (the columns IS NOT NULL) is left out once its columns are NOT NULL. Each constraint's COMMENT
    carries its signature, so that any role can see whether it was changed.
    """
    session, raw = online(), schema()[table]
    wanted = [*checks, proof] if proof else list(checks)
    if session is not None:
        wanted = _missing(session, table, wanted, proof)
        _let_execute(session, table, [check for check in checks if check not in wanted])
    for some in _instants(session, table, wanted):
        adds = ",\n  ".join(add_constraint(raw, check) for check in some)
        with needed(f"{standing(raw, checks)} < {len(checks)}"):
            before = [create_function(raw, check) for check in some if check.function]
            signed = [sign(raw, check) for check in some]
            strong(raw, [f"ALTER TABLE {raw}\n  {adds}", *signed], before)


def _instants(session: Session | None, table: str, parts: Sequence[_T]) -> list[Sequence[_T]]:
    """Return what is changed under one strong lock: all, or on a partitioned table one thing after the other.

    There each is changed in every partition, under a lock on all of them.
    """
    if session is not None and is_partitioned(session, table):
        return [[part] for part in parts]
    return [parts] if parts else []


def _missing(session: Session, table: str, wanted: list[Check], proof: Check | None) -> list[Check]:
    found = catalog.constraints(session, table)
    for check in wanted:
        if check.name in found and not found[check.name].is_(check):
            raise Stopped(foreign(f"{table}.{check.name}"))
        if check.function and catalog.check_function(session, table, check) == "foreign":
            raise Stopped(foreign(check.function))
    proven = proof is not None and not catalog.nullable(session, table, proof.columns)
    return [c for c in wanted if c.name not in found and not (proven and c is proof)]


def _let_execute(session: Session, table: str, checks: Iterable[Check]) -> None:
    """Grant EXECUTE again where somebody has revoked it: without it a role could store no row."""
    found = catalog.constraints(session, table)
    for check in checks:
        constraint = found.get(check.name)
        if constraint and not constraint.executable and catalog.cannot_execute(session, table, check):
            weak(session.schema[table], grant_execute(session.schema[table], check))


def drop_checks(table: str, checks: Sequence[Check]) -> None:
    """Drop CHECKs in one ALTER, and their functions; those that are gone or not ours are left.

    A function that something else uses as well stays, with the finding ``function-kept``.
    """
    session, raw = online(), schema()[table]
    wanted = list(checks)
    if session is not None:
        found = catalog.constraints(session, table)
        wanted = [check for check in checks if check.name in found and found[check.name].is_(check)]
    for some in _instants(session, table, wanted):
        drops = ",\n  ".join(f"DROP CONSTRAINT IF EXISTS {check.name}" for check in some)
        functions = [drop_function(raw, check) for check in some if check.function]
        with needed(f"{standing(raw, checks)} > 0"):
            strong(raw, [f"ALTER TABLE {raw}\n  {drops}", *functions])
    if session is not None:
        _drop_functions(session, table, [check for check in checks if check.function])


def _drop_functions(session: Session, table: str, checks: Sequence[Check]) -> None:
    """Drop functions whose constraints somebody had dropped by hand, and report those that have to stay."""
    for check in checks:
        if catalog.check_function(session, table, check) != "ours":
            continue
        begun = time.monotonic()
        with migration().autocommit_block():
            session.run(drop_function(session.schema[table], check))
        if catalog.check_function(session, table, check) == "missing":
            note(session, f"DROP FUNCTION {check.function}", total_ms=time.monotonic() - begun)
        else:
            users = ", ".join(catalog.users_of(session, check))
            reason = f"something else uses it ({users})" if users else "we cannot act as the role that owns it"
            named = catalog.function_name(session, check)
            session.findings.append(make("function-kept", check.function, reason=reason, function=named))


def validate(table: str, checks: Sequence[Check], proof: Check | None = None) -> None:
    """Prove the existing rows for all CHECKs in one scan, under a lock that blocks no reader or writer."""
    session, raw = online(), schema()[table]
    every = [*checks, *([proof] if proof else [])]
    names = [check.name for check in every]
    if session is not None:
        found = catalog.constraints(session, table)
        names = [name for name in names if name in found and not found[name].validated]
    if names:
        proofs = ",\n  ".join(f"VALIDATE CONSTRAINT {name}" for name in names)
        with needed(f"{_there(raw, every, 'NOT convalidated')} > 0"):
            weak(raw, f"ALTER TABLE {raw}\n  {proofs}")


def _there(raw: Relation, checks: Sequence[Check], condition: str = "true") -> str:
    """Return an SQL expression: how many constraints of these names there are that meet a condition."""
    names = ", ".join(literal(check.name) for check in checks)
    return (
        f"(SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass({raw.literal}) "
        f"AND conname IN ({names}) AND {condition})"
    )


def set_not_null(table: str, columns: tuple[str, ...], proof: Check, revision: str) -> None:
    """Set NOT NULL without a scan, because ``proof`` is validated; then drop the proof.

    Two statements: in one ALTER the drop would come first and the table be scanned under ACCESS EXCLUSIVE
    (`reference/limits.md` 1.5). Columns that were NOT NULL already are recorded for the downgrade.
    """
    session, raw = online(), schema()[table]
    names: Sequence[str] = columns
    if session is not None:
        names = catalog.nullable(session, table, columns)
        there = proof.name in catalog.constraints(session, table)
        if not names and not there and catalog.state(session, revision) is not None:
            return
    listed = ", ".join(literal(column) for column in columns)
    own = f", 'own_not_null', {own_not_nulls(raw, listed)}" if session and is_partitioned(session, table) else ""
    found = record(
        schema(),
        revision,
        "jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute "
        f"WHERE attrelid = {raw.literal}::regclass AND attnotnull AND attname IN ({listed})){own})",
    )
    *before, last = _instants(session, table, names) or [()]
    for some in before:
        strong(raw, [found, _set_not_null(raw, some)])
    statements = [found, _set_not_null(raw, last)] if last else [found]
    nullable = f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({raw.literal}) AND NOT attnotnull"
    with needed(
        f"{nullable} AND attname IN ({listed})) OR {_there(raw, [proof])} > 0 "
        f"OR NOT {recorded(schema(), revision)}"
    ):
        strong(raw, [*statements, f"ALTER TABLE {raw} DROP CONSTRAINT IF EXISTS {proof.name}"])


def _set_not_null(raw: Relation, columns: Sequence[str]) -> str:
    return f"ALTER TABLE {raw} " + ", ".join(f"ALTER {column} SET NOT NULL" for column in columns)


def unprove(table: str, checks: Sequence[Check], proof: Check, revision: str) -> None:
    """Take NOT NULL back where we set it, and make the CHECKs NOT VALID again; new rows stay guarded."""
    session, raw = online(), schema()[table]
    wanted = [*checks, proof]
    if session is not None:
        found = catalog.state(session, revision)
        if found is None:
            return
        if set(proof.columns) <= set(found["not_null"]):
            wanted.remove(proof)
        if is_partitioned(session, table):
            for check in wanted:
                strong(raw, [_add_again(raw, [check]), sign(raw, check)])
            drop_not_nulls(session, table, proof.columns, found)
            with migration().autocommit_block():
                keep(session, forget(session.schema, revision))
            return
    listed = ", ".join(literal(column) for column in proof.columns)
    restore = f"""DO $aoc$
DECLARE mine record;
BEGIN
  FOR mine IN SELECT attname FROM pg_attribute, {schema()[STATE]}
    WHERE attrelid = {raw.literal}::regclass AND attnotnull AND attname IN ({listed})
      AND name = '{revision}' AND NOT value->'not_null' ? attname
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', {raw.literal}::regclass, mine.attname);
  END LOOP;
END $aoc$"""
    with needed(recorded(schema(), revision)):
        signed = [sign(raw, check) for check in wanted]
        strong(raw, [_add_again(raw, wanted), *signed, restore, forget(schema(), revision)])


def _add_again(raw: Relation, checks: Sequence[Check]) -> str:
    parts = ",\n  ".join(f"DROP CONSTRAINT IF EXISTS {c.name},\n  {add_constraint(raw, c)}" for c in checks)
    return f"ALTER TABLE {raw}\n  {parts}"
