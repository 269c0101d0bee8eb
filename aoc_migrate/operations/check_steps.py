"""The Steps of CHECK constraints and of the functions that they call, and their SQL."""

from collections.abc import Sequence

from aoc_migrate.contract.rules import Check
from aoc_migrate.database.questions import (
    cannot_execute,
    constraint_exists,
    constraint_is_ours,
    constraint_is_unproven,
    function_exists,
    function_is_kept,
    function_is_ours,
    nullable,
)
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.signature import named
from aoc_migrate.operations.step import KEPT, STILL_USED, Kind, Lock, Objection, Printed, Step, foreign_object


def function_definition(table: Relation, check: Check) -> str:
    """Return the statement that creates the function of ``check``.

    Never CREATE OR REPLACE: that would keep the owner of a planted function.
    """
    return f"""CREATE FUNCTION {Relation(table.schema, check.function)}({check.parameters}) RETURNS boolean
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  AS $aoc_body${check.body}$aoc_body$"""


def add_constraint(table: Relation, check: Check) -> str:
    """Return the part of an ALTER TABLE that adds ``check`` to ``table`` as NOT VALID; its function exists.

    The casts select that function and no other: a planted overload might fit varchar better.
    """
    rule = check.predicate
    if check.function:
        casts = ", ".join(f"{name}::{type_}" for name, type_ in zip(check.columns, check.types, strict=True))
        rule = f"{Relation(table.schema, check.function)}({casts})"
    return f"ADD CONSTRAINT {check.name} CHECK ({rule}) NOT VALID"


def sign(table: Relation, check: Check) -> str:
    """Return the statement that writes the signature of ``check`` into the constraint's COMMENT."""
    return f"COMMENT ON CONSTRAINT {check.name} ON {table} IS {literal(check.signature)}"


def create_function(raw: Relation, check: Check) -> Step:
    """Return the Step that creates the function that ``check`` calls."""
    exists = function_exists(raw, check)
    foreign = foreign_object(check.function, f"{exists} AND NOT {function_is_ours(raw, check)}")
    sql, needed = (function_definition(raw, check),), f"NOT ({exists})"
    return Step(Kind.CREATE_FUNCTION, raw, (check.function,), Lock.NONE, sql, needed, foreign)


def grant_execute(raw: Relation, check: Check) -> Step:
    """Return the Step that lets every role run the function, which default privileges may not allow."""
    sql = (f"GRANT EXECUTE ON FUNCTION {named(Schema(raw.schema), check)} TO PUBLIC",)
    needed = f"NOT ({function_exists(raw, check)}) OR {cannot_execute(raw, check)}"
    return Step(Kind.GRANT_EXECUTE, raw, (check.function,), Lock.NONE, sql, needed)


def add(raw: Relation, check: Check, more: str = "") -> Step:
    """Return the Step that adds ``check`` as NOT VALID, where ``more`` holds as well."""
    return Step(
        Kind.ADD_CHECK,
        raw,
        (check.name,),
        Lock.ACCESS_EXCLUSIVE,
        (f"ALTER TABLE {raw} {add_constraint(raw, check)}", sign(raw, check)),
        needed=f"NOT {constraint_exists(raw, check.name)}{more}",
        objection=foreign(raw, check),
    )


def foreign(raw: Relation, check: Check) -> Objection:
    """Return the objection to a constraint that has the name of ``check``, and is not ours."""
    return foreign_object(f"{raw.name}.{check.name}", _is_foreign(raw, check))


def _is_foreign(raw: Relation, check: Check) -> str:
    """Return the condition that a constraint has the name of ``check``, and is not ours."""
    return f"{constraint_exists(raw, check.name)} AND NOT {constraint_is_ours(raw, check)}"


def add_again(raw: Relation, check: Check, needed: str) -> Step:
    """Drop and add: no statement makes a constraint NOT VALID. Two statements, as a distributed table needs.

    A constraint of this name that is not ours is left as it is, and none is added that would call a function that
    is missing or not ours.
    """
    drop = f"ALTER TABLE {raw} DROP CONSTRAINT IF EXISTS {check.name}"
    add = f"ALTER TABLE {raw} {add_constraint(raw, check)}"
    ours = f"{needed} AND NOT ({_is_foreign(raw, check)})"
    if check.function:
        ours += f" AND {function_is_ours(raw, check)}"
    return Step(Kind.INVALIDATE, raw, (check.name,), Lock.ACCESS_EXCLUSIVE, (drop, add, sign(raw, check)), ours)


def drop(raw: Relation, name: str, needed: str, objection: Objection | None = None) -> Step:
    """Return the Step that drops the constraint ``name``."""
    sql = f"ALTER TABLE {raw} DROP CONSTRAINT IF EXISTS {name}"
    return Step(Kind.DROP_CHECK, raw, (name,), Lock.ACCESS_EXCLUSIVE, (sql,), needed, objection)


def drop_function(raw: Relation, check: Check) -> Step:
    """Return the Step that drops the function of ``check``, unless something else uses it."""
    signature = named(Schema(raw.schema), check)
    kept = Objection(KEPT, check.function, function_is_kept(raw, check), {"function": signature})
    sql, asking = (f"DROP FUNCTION IF EXISTS {signature}",), Printed.ASKING
    ours = function_is_ours(raw, check)
    return Step(Kind.DROP_FUNCTION, raw, (check.function,), Lock.NONE, sql, ours, kept, asking)


def validate(raw: Relation, names: Sequence[str], condition: str = "", *, usual: bool = True) -> Step:
    """Return the Step that validates constraints in one scan, where ``condition`` holds."""
    unproven = " OR ".join(constraint_is_unproven(raw, name) for name in names)
    parts = ", ".join(f"VALIDATE CONSTRAINT {name}" for name in names)
    return Step(
        Kind.VALIDATE,
        raw,
        tuple(names),
        Lock.SHARE_UPDATE_EXCLUSIVE,
        (f"ALTER TABLE {raw} {parts}",),
        needed=f"{condition} AND ({unproven})" if condition else unproven,
        printed=Printed.PLAIN if usual else Printed.NEVER,
    )


def not_null(raw: Relation, columns: Sequence[str]) -> Step:
    """Return the Step that sets NOT NULL without a scan, because a validated CHECK proves it.

    It leaves out columns that are NOT NULL: PostgreSQL 18 refuses to set it again where it has NO INHERIT.
    """
    lacking = f"NOT attnotnull AND attname = ANY ({_listed(columns)})"
    sql = _alter_columns(raw, "SET NOT NULL", lacking)
    return Step(Kind.SET_NOT_NULL, raw, tuple(columns), Lock.ACCESS_EXCLUSIVE, (sql,), nullable(raw, columns))


def drop_not_null(raw: Relation, columns: Sequence[str], condition: str, own: str) -> Step:
    """Return the Step that drops NOT NULL of ``columns``: where ``condition``, of ``attname``, holds.

    It leaves what others have made NOT VALID since. ``own``: see `_columns_still_used`.
    """
    ours = (
        f"attnotnull AND attname = ANY ({_listed(columns)}) AND {condition} AND NOT EXISTS (SELECT FROM "
        "pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated)"
    )
    sql = _alter_columns(raw, "DROP NOT NULL", ours)
    needed = f"EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({raw.literal}) AND {ours})"
    used = _columns_still_used(raw, ours, own)
    return Step(Kind.DROP_NOT_NULL, raw, tuple(columns), Lock.ACCESS_EXCLUSIVE, (sql,), needed, used)


def _columns_still_used(raw: Relation, ours: str, own: str) -> Objection:
    """Return the objection to dropping a NOT NULL that a key or a replica identity of others has needed since.

    ``own``: the condition that partition ``indrelid``, or one above it, had it before, so that it is kept. Where
    there is no constraint for it (until PostgreSQL 17), a primary key forbids that.
    """
    root = f"to_regclass({raw.literal})"
    reason = f"""(SELECT string_agg(format('%I is in the %s %s of %s', attname,
      CASE WHEN indisprimary THEN 'primary key' ELSE 'replica identity' END, indexrelid::regclass,
      indrelid::regclass), '; ' ORDER BY indrelid, attnum, indexrelid)
  FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    LEFT JOIN pg_constraint c ON conrelid = attrelid AND conkey[1] = attnum AND contype = 'n'
  WHERE (indisprimary OR indisreplident) AND {ours} AND (indrelid = {root} OR indrelid IN (
    SELECT relid FROM pg_partition_tree({root})) AND conislocal IS NOT TRUE
      AND NOT ((c.oid IS NOT NULL OR NOT indisprimary) AND {own})))"""
    remedy = "Drop that key, or choose another replica identity for its table. Then run the same command again."
    return Objection(STILL_USED, f"NOT NULL of columns of {raw.name}", reason, {"remedy": remedy})


def _alter_columns(raw: Relation, change: str, which: str) -> str:
    """Return the statement that makes a change to the columns for which a condition holds, all at once."""
    return f"""DO $aoc$
DECLARE parts text := (SELECT string_agg(format('ALTER %I {change}', attname), ', ') FROM pg_attribute
    WHERE attrelid = to_regclass({raw.literal}) AND {which});
BEGIN
  IF parts IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %s %s', {raw.literal}, parts);
  END IF;
END $aoc$"""


def _listed(columns: Sequence[str]) -> str:
    return literal(f"{{{','.join(columns)}}}")


def nullable_before(columns: Sequence[str]) -> str:
    """Return the condition on recorded facts that one of ``columns`` was not NOT NULL before."""
    listed = ",".join(columns)
    return f"NOT value->'not_null' ?& '{{{listed}}}'"
