"""A CHECK and its function, which is made with it, executable by everybody, and dropped with it."""

from aoc_migrate.contract.rules import Check
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.signature import is_ours, named


def _named(table: Relation, check: Check) -> str:
    return named(Schema(table.schema), check)


def _found(table: Relation, check: Check) -> str:
    """Return the declaration of ``found``: the function of this name and these arguments, or NULL."""
    return f"found oid := to_regprocedure({literal(_named(table, check))});"


def create_function(table: Relation, check: Check) -> str:
    """Return the statement that makes the function of ``check`` where it is missing.

    Never CREATE OR REPLACE: it would keep the owner of a function that somebody else had planted.
    """
    return f"""DO $aoc$
DECLARE {_found(table, check)}
BEGIN
  IF found IS NULL THEN
    CREATE FUNCTION {Relation(table.schema, check.function)}({check.parameters}) RETURNS boolean
      LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
      AS $aoc_body${check.body}$aoc_body$;
    GRANT EXECUTE ON FUNCTION {_named(table, check)} TO PUBLIC;
  ELSIF NOT {is_ours(table, check, "found")} THEN
    RAISE EXCEPTION '{check.function} is not the function that the contract asks for';
  END IF;
END $aoc$"""


def add_constraint(table: Relation, check: Check) -> str:
    """Return the part of an ALTER TABLE that adds ``check`` to ``table`` as NOT VALID; its function is there.

    The casts find that function and no other: an overload that somebody planted might fit varchar better.
    """
    rule = check.predicate
    if check.function:
        casts = ", ".join(f"{name}::{type_}" for name, type_ in zip(check.columns, check.types, strict=True))
        rule = f"{Relation(table.schema, check.function)}({casts})"
    return f"ADD CONSTRAINT {check.name} CHECK ({rule}) NOT VALID"


def sign(table: Relation, check: Check) -> str:
    """Return the statement that writes the signature of ``check`` into the constraint's COMMENT."""
    return f"COMMENT ON CONSTRAINT {check.name} ON {table} IS {literal(check.signature)}"


def grant_execute(table: Relation, check: Check) -> str:
    """Return the statement that lets everybody run the function; new ones may lack that by default privileges."""
    return f"GRANT EXECUTE ON FUNCTION {_named(table, check)} TO PUBLIC"


def drop_function(table: Relation, check: Check) -> str:
    """Return the statement that drops the function, unless it is not ours or something else uses it."""
    return f"""DO $aoc$
DECLARE {_found(table, check)}
BEGIN
  IF {is_ours(table, check, "found")} THEN
    DROP FUNCTION {_named(table, check)};
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING '{check.function} is kept: %', SQLERRM;
END $aoc$"""
