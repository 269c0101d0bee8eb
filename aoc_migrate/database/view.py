"""SQL that reads the state of the view swap, for revisions, audit and verify alike."""

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database.relation import Schema, literal
from aoc_migrate.database.trust import owner_of, trusted


def guard_function(swap: ViewSwap) -> str:
    """Return the name of the trigger function (and of the trigger) that makes the view read-only."""
    return f"aoc_{swap.view}_read_only"


def guard_oid(schema: Schema, swap: ViewSwap) -> str:
    """Return an SQL expression: the oid of that function, or NULL; others may have overloaded its name."""
    return f"to_regprocedure({literal(f'{schema[guard_function(swap)]}()')})"


def reads(schema: Schema, swap: ViewSwap) -> str:
    """Return an SQL expression: the relations that the view reads, as an array of regclass."""
    return f"""ARRAY(SELECT DISTINCT d.refobjid::regclass FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.ev_class = to_regclass({schema[swap.view].literal}) AND r.rulename = '_RETURN')"""


def over_backup(schema: Schema, swap: ViewSwap) -> str:
    """Return an SQL boolean: the view reads the backup, and nothing else."""
    return f"{reads(schema, swap)} = ARRAY[to_regclass({schema[swap.backup].literal})]"


def as_it_is(schema: Schema, swap: ViewSwap) -> str:
    """Return an SQL boolean: the view shows every row of the backup, with the columns that it had at the swap.

    Columns that were renamed since keep their names in the view; none could be dropped, and new ones come last.
    Up to PostgreSQL 15, `pg_get_viewdef` puts the table's name before each column.
    """
    view, backup = schema[swap.view].literal, schema[swap.backup].literal
    prefix = f"quote_ident({literal(swap.backup)}) || '.'"
    columns = (
        "SELECT attname, row_number() OVER (ORDER BY attnum) AS n FROM pg_attribute "
        "WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped"
    )
    return f"""(SELECT replace(pg_get_viewdef(to_regclass({view})), {prefix}, '')
    = replace(' SELECT ' || string_agg(quote_ident(b.attname) || CASE WHEN b.attname <> v.attname
        THEN ' AS ' || quote_ident(v.attname) ELSE '' END, E',\n    ' ORDER BY n), {prefix}, '')
      || E'\n   FROM ' || to_regclass({backup})::text || ';'
  FROM ({columns.format(view)}) AS v JOIN ({columns.format(backup)}) AS b USING (n))"""


def other_code(schema: Schema, swap: ViewSwap) -> str:
    """Return a query of (name, remedy): triggers and rules on the view, which may write before ours refuses to."""
    view = schema[swap.view]
    return (
        "SELECT kind || ' ' || name AS name, format('DROP %s %s ON %s;', upper(kind), name, to_regclass("
        f"{view.literal})) AS remedy FROM ("
        "SELECT 'trigger' AS kind, quote_ident(tgname) AS name FROM pg_trigger WHERE NOT tgisinternal "
        f"AND tgenabled IN ('O', 'A') AND tgrelid = to_regclass({view.literal}) "
        f"AND tgname <> {literal(guard_function(swap))} "
        "UNION ALL SELECT 'rule', quote_ident(rulename) FROM pg_rewrite WHERE rulename <> '_RETURN' "
        f"AND ev_enabled IN ('O', 'A') AND ev_class = to_regclass({view.literal})) AS code ORDER BY 1"
    )


def read_only(schema: Schema, swap: ViewSwap, owned_with: str | None = None) -> str:
    """Return a query of one boolean: our trigger refuses INSERT, UPDATE and DELETE on the view.

    Only the owner of ``owned_with``, by default of the backup, and whoever may act as that role can change it.
    """
    # tgtype: 1 row, 64 INSTEAD, 4 INSERT, 8 DELETE, 16 UPDATE (PostgreSQL source, catalog/pg_trigger.h)
    return (
        "SELECT EXISTS (SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid "
        f"WHERE g.tgrelid = to_regclass({schema[swap.view].literal}) "
        f"AND p.oid = {guard_oid(schema, swap)} "
        f"AND p.prosrc = $aoc_body${refusal(swap)}$aoc_body$ "
        f"AND {trusted('p.proowner', owner_of(schema[owned_with or swap.backup]))} "
        "AND g.tgenabled IN ('O', 'A') AND g.tgtype & 93 = 93 AND g.tgqual IS NULL)"
    )


def refusal(swap: ViewSwap) -> str:
    """Return the body of the trigger function that makes the view read-only."""
    return (
        f"BEGIN RAISE EXCEPTION '{swap.view} is read-only: its rows are history, kept in {swap.backup}' "
        f"USING ERRCODE = 'read_only_sql_transaction', HINT = 'New documents go to {swap.view}_raw.'; END"
    )


def needs_invoker(schema: Schema, swap: ViewSwap) -> str:
    """Return a query of one boolean: the view must run with its caller's rights.

    That includes a table that its own owner may not read: a view with the owner's rights would read nothing.
    """
    return (
        "SELECT relrowsecurity OR NOT has_table_privilege(relowner, oid, 'SELECT') FROM pg_class "
        f"WHERE oid = to_regclass({schema[swap.backup].literal})"
    )


def bypasses_policies(schema: Schema, swap: ViewSwap) -> str:
    """Return a query of one boolean: the view runs with its owner's rights, although it must not."""
    return (
        f"SELECT ({needs_invoker(schema, swap)}) AND NOT EXISTS ("
        "SELECT FROM pg_class, pg_options_to_table(reloptions) "
        f"WHERE oid = to_regclass({schema[swap.view].literal}) AND option_name = 'security_invoker' "
        "AND option_value::boolean)"
    )


def privileges(schema: Schema, swap: ViewSwap) -> str:
    """Return a query of every privilege, also of columns, on the view and on the backup."""
    names = f"to_regclass({schema[swap.view].literal}), to_regclass({schema[swap.backup].literal})"
    return f"""SELECT c.oid AS relation, a.grantor, a.grantee, a.privilege_type, a.is_grantable,
        NULL::name AS attname
      FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a WHERE c.oid IN ({names})
      UNION ALL SELECT t.attrelid, a.grantor, a.grantee, a.privilege_type, a.is_grantable, t.attname
      FROM pg_attribute t, aclexplode(t.attacl) AS a
      WHERE t.attrelid IN ({names}) AND t.attnum > 0 AND NOT t.attisdropped"""


DESCRIBED = (
    "CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0) "
    "ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END"
)
"""What depends, by the row ``d`` of pg_depend and the rule ``r``: a view depends through its rule."""


def dependents(schema: Schema, swap: ViewSwap) -> str:
    """Return an SQL text: what DROP VIEW and DROP FUNCTION would stop at; NULL if there is nothing.

    Others may have used the view, its row type, or our trigger function.
    """
    view = schema[swap.view].literal
    return f"""(SELECT string_agg(DISTINCT {DESCRIBED}, ', ' ORDER BY {DESCRIBED}) FROM pg_depend d
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
  WHERE d.deptype = 'n' AND coalesce(r.ev_class, g.tgrelid, 0) IS DISTINCT FROM to_regclass({view})
    AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass({view})
      OR d.refclassid = 'pg_proc'::regclass AND d.refobjid = {guard_oid(schema, swap)}
      OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
        SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = to_regclass({view}))))"""
