"""Checks of the session: is this the right database, and do we have the rights that we need?"""

from collections.abc import Iterator
from contextlib import nullcontext

from aoc_migrate import __version__
from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING, LOG, READ_BY_ALL, STATE, VERSION
from aoc_migrate.database.majors import OLDEST, major
from aoc_migrate.database.own_tables import own_tables_locked, refuse_foreign
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.targets import TARGETS
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.partition_rights import other_owner, partition_schemas
from aoc_migrate.inspect.row_security import ALL_ROWS_POLICY, intact, named, only_tenant, restricted
from aoc_migrate.report.model import FINDINGS, TRY_LATER, Finding, finding

VISIBLE = "this role sees every row"


def current_revision(session: Session, known: list[str]) -> str | None:
    """Return the revision of the database, None at base.

    Raises Abort ``wrong-database`` or ``unknown-revision`` if the version table belongs to another history, and
    ``foreign-object`` if another role made one of our tables.
    """
    refuse_foreign(session, *BOOKKEEPING)
    readable = catalog.which_may_be_read(session, (VERSION, STATE))
    with own_tables_locked(session, *readable) if readable else nullcontext():
        revisions = catalog.versions(session) if VERSION in readable else []
        recorded = catalog.recorded(session, "target") if STATE in readable else None
    targets = [*([recorded["name"]] if recorded else []), *(r.rpartition("_")[0] for r in revisions)]
    _refuse_other_target(session, targets)
    if len(revisions) > 1 or any(revision not in known for revision in revisions):
        names = ", ".join(sorted(revisions))
        raise Abort(finding("unknown-revision", VERSION, revision=names, version=__version__))
    return revisions[0] if revisions else None


def _refuse_other_target(session: Session, found: list[str]) -> None:
    target = session.target.name
    for other in found:
        if other in TARGETS and other != target:
            values = {"other": other, "target": target, "url": session.target.variable, "variable": target.upper()}
            raise Abort(finding("wrong-database", session.target.schema, **values))


_SESSION_FACTS = """
SELECT pg_backend_pid() AS pid, current_database() AS database, current_user AS role,
       %(schema)s AS schema, quote_ident(current_user) AS quoted_role,
       to_regnamespace(%(schema)s) IS NOT NULL AS schema_exists,
       has_schema_privilege(to_regnamespace(%(schema)s)::oid, 'USAGE') AS usable,
       (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relname = ANY (%(ours)s)
          AND has_schema_privilege(c.relnamespace, 'USAGE') AND NOT has_table_privilege(c.oid, 'SELECT')) AS hidden
"""


def session_findings(session: Session, *, allow_pooler: bool = False) -> list[Finding]:
    """Return what prevents even reading: an old server, a pooler, a missing schema, missing rights on our tables.

    Raises Abort ``foreign-object``.
    """
    schema = session.target.schema
    facts = session.row(_SESSION_FACTS, {"schema": str(session.schema), "ours": [*READ_BY_ALL, STATE, LOG]})
    if (
        facts["hidden"] and only_tenant(session, session.target.table) is not None
    ):  # it does not need STATE and LOG
        facts = session.row(_SESSION_FACTS, {"schema": str(session.schema), "ours": list(READ_BY_ALL)})
    found = [*_connection(session, facts, allow_pooler), *_schema(schema, facts)]
    if facts["hidden"]:
        refuse_foreign(session, *BOOKKEEPING)  # before we ask for rights on another role's table
    return [*found, *_bookkeeping(facts)]


def _connection(session: Session, facts: Row, allow_pooler: bool) -> Iterator[Finding]:
    info = session.connection.info
    if major(session.connection) < OLDEST:
        version = session.value("SHOW server_version")
        yield finding("server-version", session.target.name, version=version)
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        yield finding("encoding", session.target.name, encoding=encoding)
    if not allow_pooler and info.backend_pid != facts["pid"]:
        yield finding("pooler", session.target.name)


def _schema(schema: str, facts: Row) -> Iterator[Finding]:
    if not facts["schema_exists"]:
        yield finding("schema-missing", schema, database=facts["database"], quoted=facts["schema"])
    elif not facts["usable"]:
        remedy = f"Run: GRANT USAGE ON SCHEMA {facts['schema']} TO {facts['quoted_role']};"
        yield finding("privileges", schema, role=facts["role"], action=f"use schema {schema}", remedy=remedy)


def _bookkeeping(facts: Row) -> Iterator[Finding]:
    """Yield one finding, with one GRANT, for all of our tables that this role may not read."""
    if facts["hidden"]:
        role, hidden = facts["quoted_role"], facts["hidden"]
        remedy = f"Run: GRANT SELECT ON {hidden} TO {role};"
        yield finding("privileges", VERSION, role=role, action=f"read {hidden}", remedy=remedy)


def table_missing(session: Session, contract: Contract, revision: str | None) -> Finding:
    """Return the finding for a missing raw table. Above base, nobody is about to create it: exit code 1, not 3."""
    target = session.target
    return finding(
        "table-missing",
        contract.table,
        schema=target.schema,
        target=target.name,
        url=target.variable,
        variable=target.name.upper(),
        exit_code=FINDINGS if revision else TRY_LATER,
    )


def unreadable(session: Session, table: str, *, one_tenant: bool = False) -> list[Finding]:
    """Return why this session cannot read every row of ``table``: missing SELECT, or row-level security.

    ``one_tenant``: accept a verifier that our own policies limit to one tenant.

    ``row_security_active`` stays true under a policy that shows everything, so the policies themselves are checked
    as well (domain.md, Row-level security). A restrictive policy would hide rows again.
    """
    facts = session.row(
        "SELECT current_user AS role, has_table_privilege(c.oid, 'SELECT') AS whole, row_security_active(c.oid) "
        f"AND NOT coalesce((SELECT bool_or({named(ALL_ROWS_POLICY)} AND polpermissive "
        "AND pg_get_expr(polqual, polrelid) = 'true') AND bool_and(polpermissive) FROM pg_policy "
        "WHERE polrelid = c.oid AND polcmd IN ('r', '*') AND EXISTS ("
        "SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))), false) AS filtered, "
        f"row_security_active(c.oid) AND {restricted('current_user', 'c.oid')} AS restricted "
        "FROM pg_class c WHERE c.oid = to_regclass(%s)",
        (str(session.schema[table]),),
    )
    if not facts["whole"]:
        remedy = f"Run: {grant_select(session, table)}"
        return [finding("privileges", table, role=facts["role"], action=f"read {table}", remedy=remedy)]
    tenants = one_tenant and not facts["restricted"] and only_tenant(session, table) is not None
    if facts["filtered"] and not (tenants and intact(session, table, session.value("SELECT current_user"))):
        return [finding("row-level-security", table, role=facts["role"])]
    return []


def grant_select(session: Session, table: str) -> str:
    """Return the statement that lets this role read ``table``."""
    role = session.value("SELECT quote_ident(current_user)")
    return f"GRANT SELECT ON {session.schema[table]} TO {role};"


def write_findings(session: Session, tables: list[str]) -> list[Finding]:
    """Return why this session cannot migrate: standby, read-only or replica role, no CREATE, not the owner."""
    target = session.target.name
    facts = session.row(
        "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only, "
        "current_setting('session_replication_role') = 'replica' AS replica, current_user AS role, "
        "quote_ident(current_database()) AS database, "
        "to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS citus, "
        "has_schema_privilege(to_regnamespace(%s)::oid, 'CREATE') AS can_create",
        (str(session.schema),),
    )
    if facts["standby"]:
        return [finding("standby", target, variable=session.target.variable)]
    if facts["read_only"]:
        return [finding("read-only-role", target, role=facts["role"])]
    role = session.quoted(facts["role"])
    findings = list[Finding]()
    if facts["replica"]:
        findings.append(finding("replica-role", target, role=role, database=facts["database"]))
    if facts["citus"]:
        from aoc_migrate.inspect.distribution import cluster_findings

        findings += cluster_findings(session)
    if not facts["can_create"]:
        action = f"create tables in schema {session.target.schema}"
        remedy = f"Run: GRANT CREATE ON SCHEMA {session.schema} TO {role};"
        findings.append(finding("privileges", session.target.schema, role=role, action=action, remedy=remedy))
    findings += partition_schemas(session, role)
    owners = set()
    for table in tables:
        other = other_owner(session, table)
        if other is not None and other["owner"] not in owners:
            owner = other["owner"]
            owners.add(owner)
            action = f"alter {other['name']}, which {owner} owns"
            remedy = f"Connect as {owner}, or run: GRANT {owner} TO {role};"
            findings.append(finding("privileges", table, role=role, action=action, remedy=remedy))
    return findings
