"""The swap of a legacy table for a read-only view over its renamed self, and the way back.

One transaction: rename, view, read-only trigger, owner, privileges, comments. Over a table with row-level
security the view runs with its caller's rights (``security_invoker``), so that policies judge as before. Over
any other it runs with its owner's, because a caller would need SELECT on every column, and a role that may
read only some would lose them (PostgreSQL 15 manual, CREATE VIEW). More facts in `reference/limits.md` 7.
"""

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database.bookkeeping import STATE
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.state import forget, recorded
from aoc_migrate.database.view import (
    bypasses_policies,
    guard_function,
    needs_invoker,
    over_backup,
    privileges,
    read_only,
    refusal,
)
from aoc_migrate.operations import view_rights
from aoc_migrate.operations.registry import operation
from aoc_migrate.operations.step import Executor, Kind, Lock, Objection, Printed, Step
from aoc_migrate.operations.view_conflicts import back_conflict, conflict, foreign_function, swapped


@operation
def swap_for_view(run: Executor, table: str, backup: str, revision: str) -> None:
    """Rename ``table`` to ``backup`` and put a read-only view in its place, with owner, privileges and comments.

    Does nothing without such a table, or where the view exists. Objects to another relation with one of the two
    names (``swap-conflict``), and to a function of another owner (``foreign-object``).
    """
    at, swap = run.schema, ViewSwap(table, backup)
    view = at[table]
    ours, objection = f"{swapped(at, revision)} AND {over_backup(at, swap)}", conflict(at, swap, revision)
    run.run(
        Step(
            Kind.SWAP,
            view,
            (table,),
            Lock.ACCESS_EXCLUSIVE,
            (_swap(at, swap, revision, objection),),
            needed=f"NOT {recorded(at, revision)}",
            objection=objection,
            optional=True,
        )
    )
    run.run(
        Step(
            Kind.MAKE_READ_ONLY,
            view,
            (guard_function(swap),),
            Lock.ACCESS_EXCLUSIVE,
            (_function(at, swap), _trigger(at, swap)),
            needed=f"{ours} AND NOT ({read_only(at, swap)})",
            objection=foreign_function(at, swap, f"{ours} AND NOT ({read_only(at, swap)})"),
            printed=Printed.NEVER,
        )
    )
    run.run(
        Step(
            Kind.USE_INVOKER,
            view,
            (table,),
            Lock.ACCESS_EXCLUSIVE,
            (f"ALTER VIEW {view} SET (security_invoker = true)",),
            needed=f"{ours} AND ({bypasses_policies(at, swap)})",
            printed=Printed.NEVER,
        )
    )


@operation
def swap_back(run: Executor, table: str, backup: str, revision: str) -> None:
    """Drop the view and give the table its name back; its owner and its policies never left it.

    What was granted or revoked on the view since, the table grants or revokes as far as SELECT goes, with a remark
    (``view-changed-since``). DROP VIEW without CASCADE: anything since built on the view stops this, as it should.
    Objects to that beforehand, and to another relation in the view's place (``swap-back-conflict``).
    """
    at, swap = run.schema, ViewSwap(table, backup)
    objection = back_conflict(at, swap, revision)
    run.run(
        Step(
            Kind.SWAP_BACK,
            at[table],
            (table,),
            Lock.ACCESS_EXCLUSIVE,
            (_back(at, swap, revision, objection),),
            needed=recorded(at, revision),
            objection=objection,
            remark=view_rights.remark(at, swap, revision, swapped(at, revision)),
            optional=True,
        )
    )


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


def _swap(at: Schema, swap: ViewSwap, revision: str, objection: Objection) -> str:
    view, backup, state = at[swap.view], at[swap.backup], at[STATE]
    return f"""DO $aoc$
DECLARE
  role_before text := current_setting('role');
  owner oid; listed text; entry record;
BEGIN
  {_stop(objection)}
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({view.literal}) AND relkind <> 'v') THEN
    INSERT INTO {state} (name, value) VALUES ('{revision}', '{{"swapped": false}}');
    RETURN;
  END IF;
  ALTER TABLE {view} RENAME TO {swap.backup};
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
  FOR entry IN SELECT given.grantee
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
  INSERT INTO {state} (name, value)
    SELECT '{revision}', jsonb_build_object('swapped', true, 'readers', {view_rights.recorded(view)});
END $aoc$"""


def _stop(objection: Objection) -> str:
    """Return what stops a block where there is an objection, which may have come while we waited for the lock."""
    return f"""DECLARE reason text := {objection.reason};
  BEGIN
    IF reason IS NOT NULL THEN
      RAISE EXCEPTION '{objection.subject}: %', reason;
    END IF;
  END;"""


def _back(at: Schema, swap: ViewSwap, revision: str, objection: Objection) -> str:
    declared, carried = view_rights.carry_back(at, swap, revision)
    return f"""DO $aoc$
DECLARE
  {declared}
BEGIN
  {_stop(objection)}
  IF {swapped(at, revision)} THEN
    {carried}
    DROP VIEW IF EXISTS {at[swap.view]};
    DROP FUNCTION IF EXISTS {at[guard_function(swap)]}();
    ALTER TABLE {at[swap.backup]} RENAME TO {swap.view};
  END IF;
  {forget(at, revision)};
END $aoc$"""
