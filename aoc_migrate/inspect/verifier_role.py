"""Checks of the verifier: a role that can read what verification needs, and can do nothing else."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
from psycopg import sql

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import DDL, DELETE, FOREIGN, INSERT, UPDATE, code_findings
from aoc_migrate.database.bookkeeping import LOG, READ_BY_ALL, STATE
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.inspect.session_checks import policy_of, restricted, tenant_of
from aoc_migrate.report.model import Finding, finding

POWERS = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
_MAY_CHANGE = (
    "has_any_column_privilege({role}, c.oid, 'INSERT') OR has_any_column_privilege({role}, c.oid, 'UPDATE') "
    "OR has_table_privilege({role}, c.oid, 'DELETE, TRUNCATE, TRIGGER')"
)
REFUSED = ("42501", "25006")  # insufficient_privilege, read_only_sql_transaction


def needed_tables(session: Session, contract: Contract, role: str) -> list[str]:
    """Return the existing tables that ``role`` needs for verification.

    The records of the backfill name rows of every tenant, so a role limited to one tenant does not get them.
    """
    limited = tenant_of(session, contract.table, role) is not None
    names = (contract.table, *READ_BY_ALL, *(() if limited else (STATE, LOG)))
    return [name for name in names if catalog.kind(session, name) is not None]


def composed(session: Session, text: LiteralString, *names: str | Relation | sql.Composable) -> str:
    """Return a statement with ``names`` quoted by psycopg for this connection."""
    parts = (
        sql.Identifier(name)
        if isinstance(name, str)
        else sql.Identifier(name.schema, name.name)
        if isinstance(name, Relation)
        else name
        for name in names
    )
    return sql.SQL(text).format(*parts).as_string(session.connection)


def exists(session: Session, role: str) -> bool:
    """Return whether the role exists."""
    return bool(session.value("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,)))


def excess_powers(session: Session, role: str) -> list[str]:
    """Return the attributes, memberships and owned objects that make a role more than a reader."""
    listed = ", ".join(f"('{power.removeprefix('rol')}', {power})" for power in POWERS)
    rows = session.rows(
        f"SELECT what FROM pg_roles, LATERAL (VALUES {listed}) AS power (what, has) "
        "WHERE rolname = %(role)s AND has "
        "UNION ALL SELECT 'member of ' || pg_get_userbyid(roleid) FROM pg_auth_members "
        "WHERE pg_get_userbyid(member) = %(role)s "
        "UNION ALL SELECT 'owner of ' || c.oid::regclass FROM pg_class c "
        "WHERE pg_get_userbyid(relowner) = %(role)s "
        "UNION ALL SELECT 'owner of schema ' || nspname FROM pg_namespace "
        "WHERE pg_get_userbyid(nspowner) = %(role)s",
        {"role": role},
    )
    return [row["what"] for row in rows]


def gained_rights(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield what a verifier role, if there is one, may do to the raw table beyond reading, or else is.

    It may have a privilege on the table, on a column or on a partition, or have become a member of another role.
    """
    role = session.flags.verifier_user
    powers = excess_powers(session, role)
    if powers:
        yield finding("verifier-too-privileged", role, powers=", ".join(powers))
    writable = session.rows(
        f"SELECT c.oid::regclass::text AS name FROM {FAMILY} AS family JOIN pg_class c USING (oid) "
        f"JOIN pg_roles r ON r.rolname = %s AND ({_MAY_CHANGE.format(role='r.oid')}) "
        "ORDER BY c.relispartition, 1",
        (str(session.schema[contract.table]), role),
    )
    for row in writable:
        yield finding("verifier-can-write", row["name"], role=role, quoted=session.quoted(role))


def check(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield what the role lacks, what it has too much of, and what we could do when acting as the role."""
    if not exists(session, role):
        yield finding("verifier-missing", role, target=session.target.name)
        return
    powers = excess_powers(session, role)
    if powers:
        yield finding("verifier-too-privileged", role, powers=", ".join(powers))
        return
    yield from _lacking(session, contract, role)
    yield from _beyond(session, contract, role)
    if not session.value(
        "SELECT 'default_transaction_read_only=on' = ANY (rolconfig) FROM pg_roles WHERE rolname = %s", (role,)
    ):
        yield finding("verifier-not-read-only", role, quoted=session.quoted(role))
    yield from _try_as_role(session, contract, role)


def _lacking(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    schema = session.target.schema
    rights = session.row(
        "SELECT has_database_privilege(%s, current_database(), 'CONNECT') AS connects, "
        "has_schema_privilege(%s, to_regnamespace(%s), 'USAGE') AS uses",
        (role, role, str(session.schema)),
    )
    hidden = [
        table
        for table in needed_tables(session, contract, role)
        if not session.value(
            "SELECT has_table_privilege(%s, to_regclass(%s), 'SELECT')", (role, str(session.schema[table]))
        )
    ]
    lacking = [
        *([] if rights["connects"] else ["connect to this database"]),
        *([] if rights["uses"] else [f"use schema {schema}"]),
        *(f"read {table}" for table in hidden),
        *(["see rows past row-level security"] if _filtered(session, contract, role) else []),
    ]
    if lacking:
        yield finding("verifier-lacks-privileges", role, lacking=", ".join(lacking), target=session.target.name)


def _filtered(session: Session, contract: Contract, role: str) -> bool:
    guarded = session.row(
        f"SELECT relrowsecurity AS active, {restricted('%s', 'pg_class.oid')} AS restricted "
        "FROM pg_class WHERE oid = to_regclass(%s)",
        (role, str(session.schema[contract.table])),
    )
    return guarded["active"] and (guarded["restricted"] or policy_of(session, contract.table, role) is None)


def _beyond(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield the relations in users' schemas that the role can change, or can read without needing them."""
    rows = _rights(session, contract, role)
    for row in rows:
        if "change" in row["rights"]:
            yield finding("verifier-can-write", row["name"], role=role, quoted=session.quoted(role))
    readable = [row for row in rows if "read" in row["rights"] and not row["needed"]]
    more = [row["name"] for row in readable if not row["quarantine"]]
    if len(more) < len(readable):
        yield finding("verifier-reads-quarantine", contract.quarantine, role=role, quoted=session.quoted(role))
    if more:
        yield finding("verifier-reads-more", role, names=", ".join(more[:12]))


def _rights(session: Session, contract: Contract, role: str) -> list[Row]:
    """Return each relation in users' schemas: its name, the role's rights (read, change) and what it is.

    ``needed``: for verification, or by Citus. ``quarantine``: it is the quarantine. ``plain``: it is a table of a
    trusted role.
    """
    return session.rows(
        "SELECT c.oid::regclass::text AS name, array_remove(ARRAY["
        "CASE WHEN has_any_column_privilege(%(role)s, c.oid, 'SELECT') THEN 'read' END, "
        f"CASE WHEN {_MAY_CHANGE.format(role='%(role)s')} THEN 'change' END], NULL) AS rights, "
        "c.relname = ANY (%(needed)s) AND c.relnamespace = to_regnamespace(%(schema)s) OR EXISTS (SELECT FROM "
        "pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass "
        "AND d.objid = c.oid AND d.deptype = 'e' AND e.extname = 'citus') AS needed, "
        "c.oid IS NOT DISTINCT FROM to_regclass(%(quarantine)s) AS quarantine, "
        f"c.relkind IN ('r', 'p') AND {trusted('c.relowner', owner_of(session.raw))} AS plain "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
        "AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' "
        "AND has_schema_privilege(%(role)s, n.oid, 'USAGE') ORDER BY 1",
        {
            "role": role,
            "needed": needed_tables(session, contract, role),
            "schema": str(session.schema),
            "quarantine": str(session.schema[contract.quarantine]),
        },
    )


def _try_as_role(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """As the role, try to write, to create, and to read other tables, in a transaction that is rolled back.

    If that would run code of untrusted roles, yield ``foreign-code`` and try nothing.
    """
    code = code_findings(session, contract, INSERT | UPDATE | DELETE | DDL)
    foreign = [finding for finding in code if finding.slug == FOREIGN]
    if foreign:  # it could RESET ROLE and run with our rights
        yield from foreign
        return
    attempts = [*_writes(session, contract), *_creations(session), *_readings(session, contract)]
    quoted = session.quoted(role)
    with session.connection.transaction(force_rollback=True):
        session.run("SET LOCAL transaction_read_only = off")  # the role could do that too, so only rights count
        session.run("SET LOCAL lock_timeout = '1s'")
        try:
            if session.value("SELECT current_user <> %s", (role,)):
                session.run(composed(session, "SET LOCAL ROLE {}", role))
        except psycopg.errors.InsufficientPrivilege:
            yield finding("verifier-not-tried", role, quoted=quoted, target=session.target.name)
            return
        for statement in attempts:
            if not _refused(session, statement):
                yield finding("verifier-could-write", role, what=statement)


def _writes(session: Session, contract: Contract) -> list[str]:
    table = session.schema[contract.table]
    column = contract.link if contract.link in catalog.columns(session, contract.table) else "id"
    return [
        f"INSERT INTO {table} SELECT * FROM {table} WHERE false",
        f"UPDATE {table} SET {column} = NULL WHERE false",
        f"DELETE FROM {table} WHERE false",
    ]


def _creations(session: Session) -> list[str]:
    """Return statements that create a schema, and a table in each of the users' schemas."""
    rows = session.rows(
        "SELECT quote_ident(nspname) AS name FROM pg_namespace "
        "WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1"
    )
    return ["CREATE SCHEMA aoc_verifier_probe", *(f"CREATE TABLE {r['name']}.aoc_verifier_probe ()" for r in rows)]


def _readings(session: Session, contract: Contract) -> list[str]:
    """Return statements that read the roles' passwords and the users' tables that are not needed.

    Tables that the role has a right to read are reported as ``verifier-reads-more`` already. Views, and tables of
    untrusted roles, are not tried: planning a query runs their immutable functions, which could RESET ROLE.
    """
    rows = _rights(session, contract, session.flags.verifier_user)
    others = [r["name"] for r in rows if r["plain"] and not r["needed"] and "read" not in r["rights"]]
    return [f"SELECT FROM {name} LIMIT 0" for name in ("pg_authid", *others)]


def _refused(session: Session, statement: str) -> bool:
    try:
        with session.connection.transaction(force_rollback=True):
            session.run(statement)
    except psycopg.errors.LockNotAvailable:
        return True  # the rights in the catalog, which are checked too, must do
    except psycopg.Error as error:
        return error.sqlstate in REFUSED
    return False
