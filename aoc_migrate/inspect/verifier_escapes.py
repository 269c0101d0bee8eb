"""What may let the verifier write without a right of its own: its settings, and functions of others."""

from collections.abc import Iterator

from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding

_SHOWN = 12


def escapes(session: Session, role: str) -> Iterator[Finding]:
    """Yield that the role's sessions here start writable, and which functions lend it their owner's rights."""
    yield from _not_read_only(session, role)
    yield from _lent_rights(session, role)


def _not_read_only(session: Session, role: str) -> Iterator[Finding]:
    found = session.rows(  # what a role has in one database wins over what it has in all of them
        "SELECT d.datname, split_part(line, '=', 2)::boolean AS read_only "
        "FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole CROSS JOIN unnest(setconfig) AS line "
        "LEFT JOIN pg_database d ON d.oid = setdatabase WHERE rolname = %s "
        "AND starts_with(line, 'default_transaction_read_only=') "
        "AND (setdatabase = 0 OR d.datname = current_database()) ORDER BY setdatabase DESC LIMIT 1",
        (role,),
    )
    if not found or not found[0]["read_only"]:
        here = f" IN DATABASE {session.quoted(found[0]['datname'])}" if found and found[0]["datname"] else ""
        yield finding("verifier-not-read-only", role, who=session.quoted(role) + here)


def _lent_rights(session: Session, role: str) -> Iterator[Finding]:
    rows = session.rows(
        "SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
        "WHERE prosecdef AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) "
        "AND pg_get_userbyid(proowner) <> %(role)s AND has_function_privilege(%(role)s, p.oid, 'EXECUTE') "
        "AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' "
        "AND has_schema_privilege(%(role)s, n.oid, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d "
        "WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY 1",
        {"role": role},
    )
    names = [row["name"] for row in rows]
    if names:
        shown = ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])
        yield finding("verifier-borrows-rights", role, names=shown, quoted=session.quoted(role))
