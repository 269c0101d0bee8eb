"""SQL that shows whether a CHECK and its function are still the contract's.

It computes from the catalog the same hashes that the contract has as `Check.signature` and
`Check.function_digest`, so that any role can compare the two, whatever the settings of its session.
"""

from aoc_migrate.contract.rules import Check
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.trust import trusted

_FUNCTION = (
    "concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, "
    "p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, "
    "p.proconfig, p.prosrc)"
)
"""Everything that decides what the function ``p`` of language ``l`` does; neither its owner nor its schema."""
_DEFINITION = (
    "regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '\"', ''), "
    "'CHECK (' || replace(n.nspname, '\"', '') || '.', 'CHECK ('), "
    "'\\((\\w+)\\)::(text|timestamp with time zone)', '\\1', 'g')"
)
"""A constraint without quotes and schema, which settings may add, and without casts to text and timestamptz."""
_HASH = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"

TRUSTED = trusted("p.proowner", "t.relowner")
FUNCTION_DIGEST = _HASH.format(_FUNCTION)
SIGNATURE = (
    "(SELECT 'aoc-migrate sha256:' || "
    + _HASH.format(
        f"concat_ws(E'\\n', {_DEFINITION}, string_agg({_FUNCTION}, E'\\n') FILTER (WHERE p.oid IS NOT NULL))"
    )
    + " FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
    "LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid "
    "AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid "
    f"AND p.pronamespace = t.relnamespace AND {TRUSTED} LEFT JOIN pg_language l ON l.oid = p.prolang "
    "WHERE k.oid = {oid} GROUP BY k.oid, n.nspname)"
)
"""`Check.signature` where the constraint ``{oid}`` and its function are the contract's, else another hash."""


def named(schema: Schema, check: Check) -> str:
    """Return the name of the function of ``check`` in SQL, with the types of its arguments."""
    return f"{schema[check.function]}({', '.join(check.types)})"


def is_ours(table: Relation, check: Check, function: str) -> str:
    """Return the condition that ``function``, an SQL expression, is that of ``check``, with a trusted owner."""
    return (
        f"EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t "
        f"ON t.oid = to_regclass({table.literal}) WHERE p.oid = {function} AND {TRUSTED} "
        f"AND {FUNCTION_DIGEST} = '{check.function_digest}')"
    )
