"""Rights to read that were granted or revoked on the view since the swap, carried back to the table.

The swap records who could read the view at first. Who can read it now and could not then, gets the right on the
table; who could then and no longer can, loses it there. What somebody changed on the table itself stays. Rights to
write stay too, because the view refuses every write. Roles are compared by name, which a dump keeps. The owners of
view and table count as the same grantor, and their own rights are left alone.
"""

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.majors import ACT_AS
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.operations.step import Remark

_RIGHT = "grantor text, grantee text, grantable boolean, attname text"


def recorded(view: Relation) -> str:
    """Return the jsonb expression of what the view grants, to be recorded by the swap."""
    return f"(SELECT coalesce(jsonb_agg(to_jsonb(h) - 'relation'), '[]') FROM ({_held(view)}) AS h)"


def remark(at: Schema, swap: ViewSwap, revision: str, swapped: str) -> Remark:
    """Return what a plan and a report say where ``swapped``, a condition, holds: a finding for each difference."""
    values = f"""SELECT jsonb_agg(jsonb_build_object('what', line) ORDER BY line) FROM (
{_changes(at, swap, revision)}) AS changes WHERE line IS NOT NULL AND {swapped}"""
    return Remark("view-changed-since", swap.view, values)


def carry_back(at: Schema, swap: ViewSwap, revision: str) -> tuple[str, str]:
    """Return declarations and statements of a PL/pgSQL block that grants and revokes on the table what is due.

    It warns of each difference, for those who run a script. A REVOKE takes along what its role has granted, and on
    a table the rights to its columns; so whatever is to stay is granted once more. A grantor may owe its grant
    option to another, hence the passes. If it gets none, or we may not act as it, the owner grants.
    """
    table, declared = at[swap.backup].literal, f"verb text, {_RIGHT}, acts boolean, line text"
    return (
        f"""changes jsonb := (SELECT jsonb_agg(to_jsonb(c) ORDER BY line) FROM (
{_changes(at, swap, revision)}) AS c);
  role_before text := current_setting('role');
  entry record; able boolean;""",
        f"""FOR entry IN SELECT line FROM jsonb_to_recordset(changes) AS c ({declared}) WHERE line IS NOT NULL LOOP
      RAISE WARNING '{swap.view}: %', entry.line;
    END LOOP;
    FOR pass IN 0..9 LOOP
      EXIT WHEN NOT (changes @> '[{{"verb": "GRANT"}}]' OR changes @> '[{{"verb": "REVOKE"}}]');
      FOR entry IN SELECT * FROM jsonb_to_recordset(changes) AS c ({declared})
        WHERE (verb = 'REVOKE') = (pass = 0)
      LOOP
        able := entry.grantor IS NULL OR entry.acts AND CASE WHEN entry.attname IS NULL
          THEN has_table_privilege(entry.grantor, {table}, 'SELECT WITH GRANT OPTION')
          ELSE has_column_privilege(entry.grantor, {table}, entry.attname, 'SELECT WITH GRANT OPTION') END;
        CONTINUE WHEN NOT able AND (entry.verb <> 'GRANT' OR pass < 9);
        IF able AND entry.grantor IS NOT NULL THEN
          PERFORM set_config('role', entry.grantor, true);
        END IF;
        EXECUTE format(CASE pass WHEN 0 THEN 'REVOKE SELECT%s ON %s FROM %s CASCADE'
            ELSE 'GRANT SELECT%s ON %s TO %s%s' END,
          '(' || quote_ident(entry.attname) || ')', {table}, coalesce(quote_ident(entry.grantee), 'PUBLIC'),
          CASE WHEN entry.grantable THEN ' WITH GRANT OPTION' END);
        PERFORM set_config('role', role_before, true);
      END LOOP;
    END LOOP;""",
    )


def _held(*relations: Relation) -> str:
    """Return a query of (relation, grantor, grantee, grantable, attname): who may read relations, or columns.

    A grantor NULL is the owner, a grantee NULL is PUBLIC. The owner's own rights are left out.
    """
    listed = ", ".join(f"to_regclass({relation.literal})" for relation in relations)
    return f"""SELECT c.oid AS relation,
      CASE WHEN a.grantor <> c.relowner THEN pg_get_userbyid(a.grantor)::text END AS grantor,
      CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee,
      a.is_grantable AS grantable, a.attname::text AS attname
    FROM pg_class c CROSS JOIN LATERAL (SELECT e.*, NULL::name AS attname FROM aclexplode(c.relacl) AS e
      UNION ALL SELECT e.*, t.attname FROM pg_attribute t, aclexplode(t.attacl) AS e
      WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS a
    WHERE c.oid IN ({listed}) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner"""


def _changes(at: Schema, swap: ViewSwap, revision: str) -> str:
    """Return a query of (verb, grantor, grantee, grantable, attname, acts, line).

    ``verb``: what is to be done on the table: GRANT, REVOKE, KEEP; NULL for another owner. ``acts``: we may act as
    the grantor. ``line``: what a reader must know, NULL where nothing has changed. Without the view, there is
    nothing to do; a column that was renamed in it has lost no right; and its new owner has only lost a grant that
    it needs no longer.
    """
    view, table = at[swap.view], at[swap.backup]
    return f"""  WITH held AS (
    {_held(view, table)}
  ), owners AS (
    SELECT pg_get_userbyid(v.relowner) AS of_view, pg_get_userbyid(t.relowner) AS of_table, t.relnamespace
    FROM pg_class t, pg_class v WHERE t.oid = to_regclass({table.literal}) AND v.oid = to_regclass({view.literal})
  ), first AS (
    SELECT r.* FROM {at[STATE]} AS s, jsonb_to_recordset(s.value->'readers') AS r ({_RIGHT})
    WHERE s.name = '{revision}'
  ), now AS (
    SELECT grantor, grantee, grantable, attname FROM held WHERE relation = to_regclass({view.literal})
  ), own AS (
    SELECT grantor, grantee, grantable, attname FROM held WHERE relation = to_regclass({table.literal})
  ), lost AS (
    SELECT first.* FROM first, owners WHERE grantee IS DISTINCT FROM of_view AND (attname IS NULL OR EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass({view.literal}) AND a.attname = first.attname))
    EXCEPT SELECT * FROM now
  ), gained AS (
    SELECT now.* FROM now, owners WHERE grantee IS DISTINCT FROM of_table AND (attname IS NULL OR EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass({table.literal}) AND a.attname = now.attname))
    EXCEPT SELECT * FROM first
  ), due AS (
    SELECT 'KEEP' AS verb, k.* FROM (SELECT * FROM own EXCEPT SELECT * FROM lost) AS k
    UNION ALL SELECT 'REVOKE', r.* FROM (SELECT * FROM own INTERSECT SELECT * FROM lost) AS r
    UNION ALL SELECT 'GRANT', g.* FROM (SELECT * FROM gained EXCEPT SELECT * FROM own) AS g
  ), judged AS (
    SELECT due.*, grantor IS NULL OR pg_has_role(grantor, {ACT_AS})
      AND has_schema_privilege(grantor, relnamespace, 'USAGE') AS acts FROM due, owners
  )
  SELECT *, CASE WHEN verb <> 'KEEP' THEN concat(verb, ' SELECT', ' (' || quote_ident(attname) || ')',
      CASE verb WHEN 'GRANT' THEN ' TO ' ELSE ' FROM ' END, coalesce(quote_ident(grantee), 'PUBLIC'),
      CASE WHEN grantable THEN ' WITH GRANT OPTION' END, ' GRANTED BY ' || quote_ident(grantor),
      CASE WHEN acts THEN ', which the table ' || lower(verb) || 's too' WHEN verb = 'GRANT'
        THEN ', which the table''s owner grants: we may not act as ' || quote_ident(grantor)
        ELSE ', which the table does not follow: we may not act as ' || quote_ident(grantor) END) END AS line
  FROM judged
  UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL,
    format('it belongs to %I, and the table to %I, which stays so', of_view, of_table)
  FROM owners WHERE of_view <> of_table"""
