"""Row-level security: what our own policies show to a role, and whether policies of others hide rows from it.

A role may have two policies of ours on a table: a permissive one, and with a limit also a restrictive one. A name
is only once on a table, so those of a second role have a number: ``aoc_verify_all_2``.
"""

import re

from aoc_migrate.database.session import Session

ALL_ROWS_POLICY, TENANT_POLICY = "aoc_verify_all", "aoc_verify_tenant"


def named(policy: str) -> str:
    """Return the SQL condition that a row of pg_policy is ``policy``, of whichever role."""
    return f"polname ~ '^{policy}(_[0-9]+)?$'"


OURS = f"({named(ALL_ROWS_POLICY)} OR {named(TENANT_POLICY)})"
"""The SQL condition that a row of pg_policy is ours."""


def _conditions(session: Session, table: str, role: str) -> tuple[list[str], list[str]]:
    """Return the conditions of our policies for ``role`` on ``table``: of the permissive ones, of the others."""
    rows = session.rows(
        "SELECT polpermissive AS permissive, pg_get_expr(polqual, polrelid) AS condition FROM pg_policy "
        f"WHERE polrelid = to_regclass(%s) AND {OURS} AND EXISTS (SELECT FROM pg_roles "
        "JOIN unnest(polroles) AS named ON named <> 0 "
        "WHERE rolname = %s AND pg_has_role(pg_roles.oid, named, 'USAGE'))",
        (str(session.schema[table]), role),
    )
    shown, limits = ([row["condition"] for row in rows if row["permissive"] == kind] for kind in (True, False))
    return shown, limits


def has_policies(session: Session, table: str, role: str) -> bool:
    """Return whether ``role`` has a policy of ours on ``table``."""
    return any(_conditions(session, table, role))


def intact(session: Session, table: str, role: str) -> bool:
    """Return whether our own policies show ``role`` every row of ``table``, or one tenant's and no others."""
    shown, limits = _conditions(session, table, role)
    return (shown, limits) == (["true"], []) or (
        len(shown) == 1 and shown == limits and _tenant(shown[0]) is not None
    )


def tenant_of(session: Session, table: str, role: str) -> str | None:
    """Return the one tenant that our own policies limit ``role`` to, as far as they are left, or None."""
    shown, limits = _conditions(session, table, role)
    tenants = {_tenant(condition) for condition in (*shown, *limits)} - {None}
    return tenants.pop() if len(tenants) == 1 else None


def _tenant(condition: str) -> str | None:
    found = re.fullmatch(r"\(\(?tenant\)?(?:::text)? = (E?)'(.*)'::text\)", condition, re.DOTALL)
    if not found:
        return None
    tenant = found[2].replace("''", "'")
    return tenant.replace("\\\\", "\\") if found[1] else tenant


def only_tenant(session: Session, table: str) -> str | None:
    """Return the one tenant that our own policies limit this session to, or None if they do not."""
    if not session.value("SELECT row_security_active(to_regclass(%s))", (str(session.schema[table]),)):
        return None
    return tenant_of(session, table, session.value("SELECT current_user"))


def restricted(role: str, table: str) -> str:
    """Return the SQL condition that a restrictive policy of others holds for ``role`` on ``table``, an oid."""
    return (
        f"EXISTS (SELECT FROM pg_policy WHERE polrelid = {table} AND polcmd IN ('r', '*') AND NOT polpermissive "
        f"AND NOT {named(TENANT_POLICY)} AND EXISTS (SELECT FROM unnest(polroles) AS named "
        f"WHERE named = 0 OR pg_has_role({role}, named, 'USAGE')))"
    )
