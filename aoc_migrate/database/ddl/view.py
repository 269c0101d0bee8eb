"""The swap of a legacy table for a read-only view over its renamed self, and the way back.

One transaction: rename, view, read-only trigger, owner, privileges, comments. Over a table with row-level
security the view runs with its caller's rights (``security_invoker``), so that policies judge as before. Over
any other it runs with its owner's, because a caller would need SELECT on every column, and a role that may
read only some would lose them (PostgreSQL 15 manual, CREATE VIEW). More facts in `reference/limits.md` 7.
"""

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database import catalog
from aoc_migrate.database.books import STATE
from aoc_migrate.database.ddl.printing import needed, online, schema
from aoc_migrate.database.ddl.run import strong
from aoc_migrate.database.ours import foreign
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Session
from aoc_migrate.database.state import forget, recorded
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.database.view import (
    bypasses_policies,
    guard_function,
    needs_invoker,
    privileges,
    read_only,
    refusal,
    underlying,
)
from aoc_migrate.report.model import Stopped, make

_LABEL = "swap {0.view} for a view over {0.backup}"
_LABEL_BACK = "swap {0.view} back to the table"


def swap_for_view(swap: ViewSwap, revision: str) -> None:
    """Rename the table and put the view in its place, with owner, privileges and comments carried over.

    Nothing to do without such a table, or where the view stands already. Raises Stopped
    ``swap-conflict`` when another relation has one of the two names.
    """
    session, at = online(), schema()
    view, label = at[swap.view], _LABEL.format(swap)
    if session is None:
        with needed(f"NOT {recorded(at, revision)}"):
            strong(view, [_swap(at, swap, revision)], optional=True, label=label)
        return
    relation = catalog.kind(session, swap.view)
    state = catalog.state(session, revision)
    if state is None:
        _refuse_conflict(swap, relation, catalog.kind(session, swap.backup))
        strong(view, [_swap(at, swap, revision)], optional=relation is None, label=label)
    elif state["swapped"] and relation == "v":
        if not session.value(read_only(at, swap)):
            _refuse_foreign(session, swap)
            strong(view, [_function(at, swap), _trigger(at, swap)])
        if session.value(bypasses_policies(at, swap)):
            strong(view, [f"ALTER VIEW {view} SET (security_invoker = true)"])


def _refuse_conflict(swap: ViewSwap, relation: str | None, backup: str | None) -> None:
    reason = None
    if relation in ("r", "p") and backup is not None:
        reason = f"the name {swap.backup} is taken"
    elif relation == "v" and backup is None:
        reason = f"it is a view already, and there is no {swap.backup}"
    elif relation not in (None, "r", "p", "v"):
        reason = "it is neither a table nor a view"
    if reason:
        remedy = f"Rename or drop what is in the way, so that {swap.view} is the legacy table or the view."
        raise Stopped(make("swap-conflict", swap.view, reason=reason, remedy=remedy))


def _refuse_foreign(session: Session, swap: ViewSwap) -> None:
    """Raise Stopped ``foreign-object``: CREATE OR REPLACE would leave a stranger's function to the stranger."""
    name = guard_function(swap)
    theirs = session.value(
        f"SELECT NOT {trusted('proowner', owner_of(session.schema[swap.backup]))} FROM pg_proc "
        "WHERE oid = to_regproc(%s)",
        (str(session.schema[name]),),
    )
    if theirs:
        raise Stopped(foreign(name))


def _function(at: Schema, swap: ViewSwap) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {at[guard_function(swap)]}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $body${refusal(swap)}$body$"
    )


def _trigger(at: Schema, swap: ViewSwap) -> str:
    name = guard_function(swap)
    return (
        f"CREATE OR REPLACE TRIGGER {name} INSTEAD OF INSERT OR UPDATE OR DELETE ON {at[swap.view]} "
        f"FOR EACH ROW EXECUTE FUNCTION {at[name]}()"
    )


def _swap(at: Schema, swap: ViewSwap, revision: str) -> str:
    view, backup, state = at[swap.view], at[swap.backup], at[STATE]
    return f"""DO $aoc$
DECLARE
  kind "char" := (SELECT relkind FROM pg_class WHERE oid = to_regclass({view.literal}));
  role_before text := current_setting('role');
  owner oid; listed text; entry record;
BEGIN
  IF kind IN ('r', 'p') AND to_regclass({backup.literal}) IS NULL THEN
    ALTER TABLE {view} RENAME TO {swap.backup};
  ELSIF kind IS NULL OR kind = 'v' AND {underlying(view)} = ARRAY['{swap.backup}'] THEN
    INSERT INTO {state} (name, value) VALUES ('{revision}', '{{"swapped": false}}');
    RETURN;
  ELSE
    RAISE EXCEPTION '{swap.view} is not the legacy table, or {swap.backup} is taken';
  END IF;
  SELECT relowner INTO owner FROM pg_class WHERE oid = {backup.literal}::regclass;
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO listed FROM pg_attribute
    WHERE attrelid = {backup.literal}::regclass AND attnum > 0 AND NOT attisdropped;
  EXECUTE format('CREATE VIEW %s WITH (security_invoker = %s) AS SELECT %s FROM %s', {view.literal},
    ({needs_invoker(at, swap)}), listed, {backup.literal});
  {_function(at, swap).replace("CREATE OR REPLACE", "CREATE")};
  {_trigger(at, swap)};
  EXECUTE format('COMMENT ON VIEW %s IS %L', {view.literal},
    obj_description({backup.literal}::regclass, 'pg_class'));
  FOR entry IN SELECT attname, col_description(attrelid, attnum) AS words FROM pg_attribute
    WHERE attrelid = {backup.literal}::regclass AND col_description(attrelid, attnum) IS NOT NULL AND attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', {view.literal}, entry.attname, entry.words);
  END LOOP;
  EXECUTE format('ALTER FUNCTION %s() OWNER TO %I', {at[guard_function(swap)].literal}, pg_get_userbyid(owner));
  EXECUTE format('ALTER VIEW %s OWNER TO %I', {view.literal}, pg_get_userbyid(owner));
  -- Privileges: first take away what default privileges gave, then grant what the table grants.
  FOR entry IN SELECT DISTINCT given.grantee
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS given
    WHERE oid = {view.literal}::regclass
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', {view.literal},
      CASE WHEN entry.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END);
  END LOOP;
  FOR pass IN 1..9 LOOP  -- a grantor may owe its grant option to another grantor
    FOR entry IN
      WITH granted AS ({privileges(at, swap)})
      SELECT grantor, grantee, privilege_type, is_grantable, attname FROM granted
        WHERE relation = {backup.literal}::regclass
      EXCEPT SELECT grantor, grantee, privilege_type, is_grantable, attname FROM granted
        WHERE relation = {view.literal}::regclass
    LOOP
      CONTINUE WHEN entry.grantor <> owner AND NOT CASE WHEN entry.attname IS NULL
        THEN has_table_privilege(entry.grantor, {view.literal}, entry.privilege_type || ' WITH GRANT OPTION')
        ELSE has_column_privilege(entry.grantor, {view.literal}, entry.attname,
          entry.privilege_type || ' WITH GRANT OPTION') END;
      IF entry.grantor <> owner THEN
        PERFORM set_config('role', pg_get_userbyid(entry.grantor), true);
      END IF;
      EXECUTE format('GRANT %s%s ON %s TO %s%s', entry.privilege_type,
        coalesce('(' || quote_ident(entry.attname) || ')', ''), {view.literal},
        CASE WHEN entry.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END,
        CASE WHEN entry.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
      PERFORM set_config('role', role_before, true);
    END LOOP;
    EXIT WHEN NOT FOUND;
  END LOOP;
  INSERT INTO {state} (name, value) VALUES ('{revision}', '{{"swapped": true}}');
END $aoc$"""


def swap_back(swap: ViewSwap, revision: str) -> None:
    """Drop the view and give the table its name back; its owner and privileges never left it.

    DROP VIEW without CASCADE: what was built on the view meanwhile stops this, rightly.
    """
    session, at, label = online(), schema(), _LABEL_BACK.format(swap)
    if session is None:
        with needed(recorded(at, revision)):
            strong(at[swap.view], [_back(at, swap, revision)], optional=True, label=label)
        return
    if catalog.state(session, revision) is not None:
        gone = catalog.kind(session, swap.view) is None
        strong(at[swap.view], [_back(at, swap, revision, gone=gone)], optional=gone, label=label)


def _back(at: Schema, swap: ViewSwap, revision: str, *, gone: bool = False) -> str:
    """Return the statement that swaps back; ``gone``: somebody has dropped the view."""
    there = " IF EXISTS" if gone else ""
    return f"""DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM {at[STATE]} WHERE name = '{revision}' AND (value->>'swapped')::boolean) THEN
    DROP VIEW{there} {at[swap.view]};
    DROP FUNCTION{there} {at[guard_function(swap)]}();
    ALTER TABLE {at[swap.backup]} RENAME TO {swap.view};
  END IF;
  {forget(at, revision)};
END $aoc$"""
