"""Checks that this session may pass on what a command passes on: a table, a role, the right to connect."""

from aoc_migrate.database import catalog
from aoc_migrate.database.majors import CREATEROLE_ALTERS_EVERY_ROLE
from aoc_migrate.database.session import Session
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.session_checks import grant_select
from aoc_migrate.report.model import Finding, finding


def may_not_hand_over(session: Session, table: str) -> list[Finding]:
    """Return why this session cannot give a new table to the owner of ``table``: no CREATE on the schema.

    PostgreSQL asks that of the new owner, unless a superuser gives the table away.
    """
    role = session.value(
        "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(%s) "
        "AND NOT has_schema_privilege(relowner, relnamespace, 'CREATE') "
        "AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
        (str(session.schema[table]),),
    )
    if role is None:
        return []
    action = f"create tables in schema {session.target.schema}"
    remedy = f"It will own the quarantine. Run: GRANT CREATE ON SCHEMA {session.schema} TO {role};"
    return [finding("privileges", session.target.schema, role=role, action=action, remedy=remedy)]


def may_not_alter(session: Session, role: str) -> list[Finding]:
    """Return why this session can neither create ``role`` nor, where it exists, alter it."""
    facts = session.row(
        "SELECT me.rolsuper OR me.rolcreaterole AS creates, quote_ident(me.rolname) AS me, me.rolsuper "
        f"OR {CREATEROLE_ALTERS_EVERY_ROLE} "
        "OR coalesce(pg_has_role(made.oid, 'MEMBER WITH ADMIN OPTION'), true) AS alters "
        "FROM pg_roles AS me LEFT JOIN pg_roles AS made ON made.rolname = %s WHERE me.rolname = current_user",
        (role,),
    )
    me = facts["me"]
    if not facts["creates"]:
        remedy = f"Run: ALTER ROLE {me} CREATEROLE;"
        return [finding("privileges", role, role=me, action=f"create the role {role}", remedy=remedy)]
    if not facts["alters"]:
        remedy = f"As the role that created it, run: GRANT {session.quoted(role)} TO {me} WITH ADMIN OPTION;"
        return [finding("privileges", role, role=me, action=f"alter the role {role}", remedy=remedy)]
    return []


def may_not_let_in(session: Session, role: str) -> list[Finding]:
    """Return why this session cannot let ``role``, which may be new, connect and use the schema."""
    facts = session.row(  # 0 is PUBLIC
        "WITH place AS (SELECT to_regnamespace(%(schema)s)::oid AS schema, current_database() AS database), "
        "granted (oid) AS (SELECT 0::oid UNION ALL SELECT oid FROM pg_roles WHERE rolname = %(role)s) "
        "SELECT quote_ident(current_user) AS me, quote_ident(database) AS database, "
        "has_schema_privilege(schema, 'USAGE WITH GRANT OPTION') "
        "OR EXISTS (SELECT FROM granted WHERE has_schema_privilege(oid, schema, 'USAGE')) AS uses, "
        "has_database_privilege(database, 'CONNECT WITH GRANT OPTION') "
        "OR EXISTS (SELECT FROM granted WHERE has_database_privilege(oid, database, 'CONNECT')) AS connects "
        "FROM place",
        {"schema": str(session.schema), "role": role},
    )
    rights = {
        f"USAGE ON SCHEMA {session.schema}": facts["uses"],
        f"CONNECT ON DATABASE {facts['database']}": facts["connects"],
    }
    me, lacking = facts["me"], [right for right, may in rights.items() if not may]
    remedies = {right: f"Run: GRANT {right} TO {me} WITH GRANT OPTION;" for right in lacking}
    return [
        finding("privileges", role, role=me, action=f"grant {right}", remedy=remedies[right]) for right in lacking
    ]


def must_read(session: Session, table: str) -> None:
    """Raise Abort ``privileges`` if this session cannot read ``table``, which is our own and exists."""
    if catalog.may_read(session, table):
        return
    role, remedy = session.value("SELECT quote_ident(current_user)"), f"Run: {grant_select(session, table)}"
    raise Abort(finding("privileges", table, role=role, action=f"read {table}", remedy=remedy))
