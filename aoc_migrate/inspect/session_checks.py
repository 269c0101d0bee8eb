"""Checks of the session itself: is this the right database, and may we do here what we are about to do?"""

import re
from collections.abc import Iterator
from contextlib import nullcontext

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, LOG, READ_BY_ALL, STATE, VERSION
from aoc_migrate.database.own_tables import own_tables_locked, refuse_foreign
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.errors import Abort
from aoc_migrate.report.model import Finding, finding

ALL = "aoc_verify_all"  # our own policy on a raw table


def current_revision(session: Session, known: list[str]) -> str | None:
    """Return the revision of the database, None at base.

    Raises Abort ``wrong-database`` or ``unknown-revision`` for a version table that is not this history's, and
    ``foreign-object`` for a table of ours that somebody else made.
    """
    refuse_foreign(session, *BOOKKEEPING)
    there = catalog.which_may_be_read(session, (VERSION, STATE))
    with own_tables_locked(session, *there) if there else nullcontext():
        found = catalog.versions(session) if VERSION in there else []
        owner = catalog.recorded(session, "target") if STATE in there else None
    _refuse_other(session, [*([owner["name"]] if owner else []), *(r.rpartition("_")[0] for r in found)])
    if len(found) > 1 or any(revision not in known for revision in found):
        shown = ", ".join(sorted(found))
        raise Abort(finding("unknown-revision", VERSION, revision=shown, version=__version__))
    return found[0] if found else None


def _refuse_other(session: Session, owners: list[str]) -> None:
    target = session.target.name
    for other in owners:
        if other in TARGETS and other != target:
            words = {"other": other, "target": target, "variable": target.upper()}
            raise Abort(finding("wrong-database", session.target.schema, **words))


_PLACE = """
SELECT pg_backend_pid() AS pid, current_database() AS database, current_user AS role,
       %(schema)s AS schema, quote_ident(current_user) AS quoted_role,
       to_regnamespace(%(schema)s) IS NOT NULL AS there,
       has_schema_privilege(to_regnamespace(%(schema)s)::oid, 'USAGE') AS usable,
       (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relname = ANY (%(ours)s)
          AND has_schema_privilege(c.relnamespace, 'USAGE') AND NOT has_table_privilege(c.oid, 'SELECT')) AS hidden
"""


def reading(session: Session, *, allow_pooler: bool = False) -> list[Finding]:
    """Return what makes even reading senseless: old server, pooler, no such schema, no rights on our tables.

    Raises Abort ``foreign-object``.
    """
    schema = session.target.schema
    place = session.row(_PLACE, {"schema": str(session.schema), "ours": [*READ_BY_ALL, STATE, LOG]})
    if place["hidden"] and only_tenant(session, session.target.table) is not None:  # it does without the rest
        place = session.row(_PLACE, {"schema": str(session.schema), "ours": list(READ_BY_ALL)})
    found = [*_connection(session, place, allow_pooler), *_schema(schema, place)]
    if place["hidden"]:
        refuse_foreign(session, *BOOKKEEPING)  # no right on a stranger's table is worth asking for
    return [*found, *_bookkeeping(place)]


def _connection(session: Session, place: Row, allow_pooler: bool) -> Iterator[Finding]:
    info = session.connection.info
    if info.server_version < 150000:
        version = session.value("SHOW server_version")
        yield finding("server-version", session.target.name, version=version)
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        yield finding("encoding", session.target.name, encoding=encoding)
    if not allow_pooler and info.backend_pid != place["pid"]:
        yield finding("pooler", session.target.name)


def _schema(schema: str, place: Row) -> Iterator[Finding]:
    if not place["there"]:
        yield finding("schema-missing", schema, database=place["database"], quoted=place["schema"])
    elif not place["usable"]:
        remedy = f"Run: GRANT USAGE ON SCHEMA {place['schema']} TO {place['quoted_role']};"
        yield finding("privileges", schema, role=place["role"], action=f"use schema {schema}", remedy=remedy)


def _bookkeeping(place: Row) -> Iterator[Finding]:
    """Yield one finding with one GRANT for all of our own tables that this role may not read."""
    if place["hidden"]:
        role, hidden = place["quoted_role"], place["hidden"]
        remedy = f"Run: GRANT SELECT ON {hidden} TO {role};"
        yield finding("privileges", VERSION, role=role, action=f"read {hidden}", remedy=remedy)


def table_missing(session: Session, contract: Contract) -> Finding:
    """Return the finding for a raw table that is not there."""
    target = session.target
    return finding(
        "table-missing",
        contract.table,
        schema=target.schema,
        target=target.name,
        variable=target.name.upper(),
    )


def policy_of(session: Session, table: str, role: str) -> str | None:
    """Return the condition of our own policy for ``role`` on ``table``, None where there is no such policy."""
    seen: str | None = session.value(
        "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = to_regclass(%s) "
        f"AND polname = '{ALL}' AND EXISTS (SELECT FROM pg_roles JOIN unnest(polroles) AS named ON named <> 0 "
        "WHERE rolname = %s AND pg_has_role(pg_roles.oid, named, 'USAGE'))",
        (str(session.schema[table]), role),
    )
    return seen


def tenant_of(session: Session, table: str, role: str) -> str | None:
    """Return the one tenant that our own policy limits ``role`` to, None where it does not."""
    seen = policy_of(session, table, role) or ""
    found = re.fullmatch(r"\(\(?tenant\)?(?:::text)? = (E?)'(.*)'::text\)", seen, re.DOTALL)
    if not found:
        return None
    tenant = found[2].replace("''", "'")
    return tenant.replace("\\\\", "\\") if found[1] else tenant


def only_tenant(session: Session, table: str) -> str | None:
    """Return the one tenant that this session is limited to by our own policy, None where it is not."""
    if not session.value("SELECT row_security_active(to_regclass(%s))", (str(session.schema[table]),)):
        return None
    return tenant_of(session, table, session.value("SELECT current_user"))


def unreadable(session: Session, table: str, *, one_tenant: bool = False) -> list[Finding]:
    """Return why rows of ``table`` cannot all be read: missing SELECT, or row-level security.

    ``one_tenant``: a verifier that our own policy limits to one tenant may go on.

    ``row_security_active`` stays true under a policy that shows everything, so the policy is looked at as
    well (domain.md, Row-level security); a restrictive policy beside it would hide rows again.
    """
    facts = session.row(
        "SELECT current_user AS role, has_table_privilege(c.oid, 'SELECT') AS whole, row_security_active(c.oid) "
        f"AND NOT coalesce((SELECT bool_or(polname = '{ALL}' AND polpermissive "
        "AND pg_get_expr(polqual, polrelid) = 'true') AND bool_and(polpermissive) FROM pg_policy "
        "WHERE polrelid = c.oid AND polcmd IN ('r', '*') AND EXISTS ("
        "SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))), false) AS filtered "
        "FROM pg_class c WHERE c.oid = to_regclass(%s)",
        (str(session.schema[table]),),
    )
    if not facts["whole"]:
        remedy = f"Run: {grant_select(session, table)}"
        return [finding("privileges", table, role=facts["role"], action=f"read {table}", remedy=remedy)]
    if facts["filtered"] and not (one_tenant and only_tenant(session, table) is not None):
        return [finding("row-level-security", table, role=facts["role"])]
    return []


def grant_select(session: Session, table: str) -> str:
    """Return the statement that lets this role read ``table``."""
    role = session.value("SELECT quote_ident(current_user)")
    return f"GRANT SELECT ON {session.schema[table]} TO {role};"


def writing(session: Session, tables: list[str]) -> list[Finding]:
    """Return why this session cannot migrate: standby, read-only role, no right to create, not the owner."""
    target = session.target.name
    facts = session.row(
        "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only, "
        "current_user AS role, "
        "has_schema_privilege(to_regnamespace(%s)::oid, 'CREATE') AS can_create",
        (str(session.schema),),
    )
    if facts["standby"]:
        return [finding("standby", target, variable=target.upper())]
    if facts["read_only"]:
        return [finding("read-only-role", target, role=facts["role"])]
    role = session.quoted(facts["role"])
    findings = []
    if not facts["can_create"]:
        action = f"create tables in schema {session.target.schema}"
        remedy = f"Run: GRANT CREATE ON SCHEMA {session.schema} TO {role};"
        findings.append(finding("privileges", session.target.schema, role=role, action=action, remedy=remedy))
    owners = set()
    for table in tables:
        other = _other_owner(session, table)
        if other is not None and other["owner"] not in owners:
            owner = other["owner"]
            owners.add(owner)
            action = f"alter {other['name']}, which {owner} owns"
            remedy = f"Connect as {owner}, or run: GRANT {owner} TO {role};"
            findings.append(finding("privileges", table, role=role, action=action, remedy=remedy))
    return findings


def _other_owner(session: Session, table: str) -> Row | None:
    """Return name and owner, quoted, of ``table`` or of a partition of it, if we have not the owner's rights."""
    rows = session.rows(
        "SELECT oid::regclass::text AS name, quote_ident(pg_get_userbyid(relowner)) AS owner "
        f"FROM pg_class JOIN {FAMILY} AS family USING (oid) WHERE NOT pg_has_role(relowner, 'USAGE') "
        "ORDER BY relispartition, 1 LIMIT 1",
        (str(session.schema[table]),),
    )
    return rows[0] if rows else None
