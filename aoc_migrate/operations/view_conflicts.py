"""What is in the way of the view swap and of the way back, as the Steps themselves find it."""

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database.relation import Schema, literal
from aoc_migrate.database.state import recorded
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.database.view import dependents, guard_function, guard_oid, over_backup
from aoc_migrate.operations.step import Objection, foreign_object


def swapped(at: Schema, revision: str) -> str:
    """Return an SQL boolean: the revision has run, and put a view in the table's place."""
    return recorded(at, revision, "(value->>'swapped')::boolean")


def conflict(at: Schema, swap: ViewSwap, revision: str) -> Objection:
    """Return the objection to another relation with one of the two names."""
    remedy = f"Rename or drop what is in the way, so that {swap.view} is the legacy table or the view."
    view, backup = at[swap.view], at[swap.backup]
    reason = f"""(SELECT CASE WHEN {recorded(at, revision)} THEN NULL
    WHEN kind IN ('r', 'p') AND named THEN {literal(f"the name {swap.backup} is taken")}
    WHEN kind = 'v' AND NOT taken THEN {literal(f"it is a view already, and there is no {swap.backup}")}
    WHEN kind = 'v' AND NOT {over_backup(at, swap)} THEN {_over_others(swap)}
    WHEN kind NOT IN ('r', 'p', 'v') THEN 'it is neither a table nor a view' END
  FROM (SELECT (SELECT relkind FROM pg_class WHERE oid = to_regclass({view.literal})) AS kind,
    to_regclass({backup.literal}) IS NOT NULL AS taken,
    to_regtype({backup.literal}) IS NOT NULL AS named) AS found)"""
    return Objection("swap-conflict", swap.view, reason, {"remedy": remedy})


def back_conflict(at: Schema, swap: ViewSwap, revision: str) -> Objection:
    """Return the objection to a downgrade: to what depends on the view, and to what is in its place."""
    remedy = (
        f"Drop what depends on {swap.view}, go down, and create it again: it then uses the table. If another "
        f"relation has the name {swap.view}, rename it; if the view or {swap.backup} has a new name, give it the "
        f"old one. If the view has a new owner, give it back to that of {swap.backup}: "
        f"ALTER VIEW {swap.view} OWNER TO …;"
    )
    view, backup = at[swap.view], at[swap.backup]
    reason = f"""(SELECT CASE WHEN NOT {swapped(at, revision)} THEN NULL
    WHEN to_regclass({backup.literal}) IS NULL THEN {literal(f"there is no {swap.backup}")}
    WHEN kind <> 'v' THEN {literal(f"{swap.view} is no view any more")}
    WHEN kind = 'v' AND NOT {over_backup(at, swap)} THEN {_over_others(swap)}
    WHEN names IS NOT NULL THEN 'other objects depend on it (' || names || ')' ELSE {_unlockable(at, swap)} END
  FROM (SELECT (SELECT relkind FROM pg_class WHERE oid = to_regclass({view.literal})) AS kind,
    {dependents(at, swap)} AS names) AS found)"""
    return Objection("swap-back-conflict", swap.view, reason, {"remedy": remedy})


def _over_others(swap: ViewSwap) -> str:
    return literal(f"it is a view, but not over {swap.backup} alone")


def _unlockable(at: Schema, swap: ViewSwap) -> str:
    """Return why a view's new owner is in the way: LOCK also locks the backup, with the rights of that owner."""
    return f"""(SELECT format('it belongs to %I, whose rights are too few to lock {swap.backup}, a table of %I',
    pg_get_userbyid(v.relowner), pg_get_userbyid(t.relowner)) FROM pg_class v, pg_class t
  WHERE v.oid = to_regclass({at[swap.view].literal}) AND t.oid = to_regclass({at[swap.backup].literal})
    AND v.relkind = 'v' AND v.relowner <> t.relowner
    AND NOT has_table_privilege(v.relowner, t.oid, 'UPDATE, DELETE, TRUNCATE')
    AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions)
      WHERE option_name = 'security_invoker' AND option_value::boolean))"""


def foreign_function(at: Schema, swap: ViewSwap, needed: str) -> Objection:
    """Return the objection to another owner's function: CREATE OR REPLACE would keep that owner."""
    name = guard_function(swap)
    theirs = (
        f"EXISTS (SELECT FROM pg_proc WHERE oid = {guard_oid(at, swap)} "
        f"AND NOT {trusted('proowner', owner_of(at[swap.backup]))})"
    )
    return foreign_object(name, f"{needed} AND {theirs}")
