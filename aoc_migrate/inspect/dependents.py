"""Audit of the view swap: what blocks it, what would follow the renamed table, who still writes to it."""

import time
from collections.abc import Callable, Iterator

from aoc_migrate.contract.model import ViewSwap
from aoc_migrate.database import catalog
from aoc_migrate.database.majors import ACT_AS
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.view import DESCRIBED, guard_function, guard_oid, over_backup, read_only
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import Finding, finding

WATCH_SECONDS = 1.2  # backends report their counters once a second (PostgreSQL 15 source, pgstat.c)


def audit_swap(session: Session, swap: ViewSwap) -> Iterator[Finding]:
    """Yield what would stop the view swap or break because of it."""
    kind, backup = catalog.kind(session, swap.view), catalog.kind(session, swap.backup)
    if kind is None and backup is None:
        yield finding("swap-not-applicable", swap.view)
    elif kind is None:
        yield _conflict(swap, f"there is a {swap.backup}, but no {swap.view}")
    elif kind == "v":
        yield from _is_a_view(session, swap)
    elif kind not in ("r", "p"):
        yield _conflict(swap, "it is neither a table nor a view")
    elif backup is not None or session.value("SELECT to_regtype(%s)", (str(session.schema[swap.backup]),)):
        yield _conflict(swap, f"the name {swap.backup} is taken")
    else:
        yield from _table(session, swap)


def _conflict(swap: ViewSwap, reason: str, remedy: str = "") -> Finding:
    usual = f"Rename or drop what is in the way, so that {swap.view} is the legacy table or the view over it."
    return finding("swap-conflict", swap.view, reason=reason, remedy=remedy or usual)


def _is_a_view(session: Session, swap: ViewSwap) -> Iterator[Finding]:
    if not session.value(f"SELECT {over_backup(session.schema, swap)}"):
        yield _conflict(swap, f"it is a view, but not over {swap.backup} alone")
    elif not (
        session.value(read_only(session.schema, swap))
        or session.value(
            "SELECT pg_relation_is_updatable(to_regclass(%s), false) & 28 = 0", (str(session.schema[swap.view]),)
        )
    ):
        yield _conflict(swap, "it is already a view, and accepts writes")


def _table(session: Session, swap: ViewSwap) -> Iterator[Finding]:
    function = guard_function(swap)
    if session.value(f"SELECT {guard_oid(session.schema, swap)} IS NOT NULL"):
        yield _conflict(swap, f"a function {function} already exists", f"Rename or drop function {function}.")
    for row in session.rows(users_of_rows(session.schema[swap.view])):
        kind, name = row["kind"], row["name"]
        why = "has its row type, and would take no rows of the view"
        if not session.accepted.has("swap-conflict", name):
            yield _conflict(
                swap,
                f"the {kind} {name} {'would silently change its meaning' if kind == 'function' else why}",
                f"Change it first, or accept the change: {option('swap-conflict', name)}",
            )
    for row in session.rows(partial_readers(session.schema[swap.view])):
        role = row["role"]
        if not session.accepted.has("swap-conflict", role):
            yield _conflict(
                swap,
                f"role {role} may read only some columns of it, which a view of a table with row-level "
                "security cannot preserve",
                "Grant it SELECT on the whole table, or accept that it cannot read the view: "
                f"{option('swap-conflict', role)}",
            )
    if _swapper(session, swap.view):
        yield from _missing_rights(session, swap)
    following = _following(session, swap.view)
    if following:
        yield finding("swap-dependents", swap.view, count=len(following), names=", ".join(following[:12]))
    labels = _labels(session, swap.view)
    if labels:
        yield finding("swap-labels", swap.view, count=len(labels), backup=swap.backup, remedy=" ".join(labels))


def _swapper(session: Session, table: str) -> bool:
    """Return whether this role has the owner's rights. An auditor without them gets no finding for that."""
    owns: bool = session.value(
        "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)",
        (str(session.schema[table]),),
    )
    return owns


def _missing_rights(session: Session, swap: ViewSwap) -> Iterator[Finding]:
    for role in _roles_we_cannot_be(session, swap.view):
        remedy = f"Run as a superuser, or: GRANT {session.quoted(role)} TO the migrating role."
        yield _conflict(swap, f"we may not act as role {role}, which owns it or granted privileges on it", remedy)
    owner = _owner_without_create(session, swap.view)
    if owner is not None:
        reason = f"its owner {owner} may not create a view in this schema"
        yield _conflict(swap, reason, f"Run: GRANT CREATE ON SCHEMA {session.schema} TO {session.quoted(owner)};")


def users_of_rows(table: Relation) -> str:
    """Return a query of (kind, name): functions, columns and types that use the row type of ``table``.

    A view with such a column goes on showing the renamed table.
    """
    return f"""SELECT DISTINCT used.* FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
  JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
  CROSS JOIN LATERAL (
    SELECT 'function' AS kind, proname::text AS name FROM pg_proc
    WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
    UNION ALL SELECT 'type', typname FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
    UNION ALL SELECT CASE relkind WHEN 'c' THEN 'type' ELSE 'column' END,
      concat_ws('.', relname, CASE WHEN relkind <> 'c' THEN attname END)
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum = d.objsubid
    WHERE d.classid = 'pg_class'::regclass AND pg_class.oid = d.objid AND relkind IN ('r', 'p', 'f', 'c')
  ) AS used WHERE c.oid = to_regclass({table.literal}) AND d.deptype = 'n' ORDER BY name"""


def partial_readers(table: Relation) -> str:
    """Return a query of the roles that may read some but not all columns of ``table`` under row-level security."""
    return f"""SELECT DISTINCT
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS role
  FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
  WHERE c.oid = to_regclass({table.literal}) AND c.relrowsecurity AND a.privilege_type = 'SELECT'
    AND NOT CASE WHEN a.grantee = 0 THEN has_table_privilege('public', c.oid, 'SELECT')
      ELSE has_table_privilege(a.grantee, c.oid, 'SELECT') END ORDER BY 1"""


def _owner_without_create(session: Session, table: str) -> str | None:
    owner: str | None = session.value(
        "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = to_regclass(%s) "
        "AND NOT has_schema_privilege(relowner, relnamespace, 'CREATE') "
        "AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
        (str(session.schema[table]),),
    )
    return owner


def _roles_we_cannot_be(session: Session, table: str) -> list[str]:
    """Return the owner and grantors of the table that we may not SET ROLE to."""
    rows = session.rows(
        "SELECT DISTINCT pg_get_userbyid(held.role)::text AS role FROM pg_class c LEFT JOIN pg_attribute t "
        "ON t.attrelid = c.oid AND t.attacl IS NOT NULL CROSS JOIN LATERAL (SELECT c.relowner AS role "
        "UNION SELECT grantor FROM aclexplode(c.relacl) UNION SELECT grantor FROM aclexplode(t.attacl)) AS held "
        f"WHERE c.oid = to_regclass(%s) AND NOT pg_has_role(held.role, {ACT_AS}) ORDER BY 1",
        (str(session.schema[table]),),
    )
    return [row["role"] for row in rows]


def _labels(session: Session, table: str) -> list[str]:
    """Return the statements that give a view in the table's place the table's security labels."""
    rows = session.rows(
        "SELECT format('SECURITY LABEL FOR %%I ON %%s %%s IS %%L;', provider, CASE objsubid WHEN 0 THEN 'VIEW' "
        "ELSE 'COLUMN' END, concat_ws('.', objoid::regclass, quote_ident(attname)), label) AS sql "
        "FROM pg_seclabel LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND attnum > 0 "
        "WHERE classoid = 'pg_class'::regclass AND objoid = to_regclass(%s) ORDER BY provider, objsubid",
        (str(session.schema[table]),),
    )
    return [row["sql"] for row in rows]


def _following(session: Session, table: str) -> list[str]:
    """Return what depends on the table by its OID, as PostgreSQL describes it, without the table's own parts."""
    rows = session.rows(
        f"SELECT DISTINCT {DESCRIBED} AS name FROM pg_depend d "
        "LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid "
        "LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid "
        "LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid "
        "LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid "
        "WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%s) "
        "AND d.deptype = 'n' AND d.refobjid <> coalesce(r.ev_class, p.polrelid, k.conrelid, g.tgrelid, 0) "
        "ORDER BY 1",
        (str(session.schema[table]),),
    )
    return [row["name"] for row in rows]


def watch_writers(session: Session, swap: ViewSwap) -> Callable[[], Iterator[Finding]]:
    """Read the legacy table's write counters; the returned function reads them again and yields a finding.

    It first waits for sessions that have written but not reported yet. There are none if no other session is
    connected, because a session reports when it ends, or if the counters have always been zero.
    """
    if catalog.kind(session, swap.view) not in ("r", "p"):
        return lambda: iter(())
    before, begun = _written(session, swap.view), time.monotonic()

    def new_writes() -> Iterator[Finding]:
        if before and _other_sessions(session):
            time.sleep(max(0.0, WATCH_SECONDS - (time.monotonic() - begun)))
        if _written(session, swap.view) != before:
            yield finding("advisory-still-written", swap.view)

    return new_writes


def _other_sessions(session: Session) -> bool:
    """Return whether another session is connected to this database. Every role sees at least its pid."""
    others: bool = session.value(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker')"
    )
    return others


def _written(session: Session, table: str) -> int | None:
    if session.on_cluster:
        from aoc_migrate.database.spread.shards import on_shards

        query = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint AS written FROM pg_stat_all_tables "
        query += "JOIN {tables} AS shards ON oid = relid"
        if found := on_shards(session, f"whether {table} is written to", query, session.schema[table]):
            return sum(row["written"] or 0 for row in found)
    value: int | None = session.value(
        "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_all_tables WHERE relid IN ("
        "SELECT relid FROM pg_partition_tree(to_regclass(%s)) "
        "UNION SELECT to_regclass(%s))",
        [str(session.schema[table])] * 2,
    )
    return value
