"""Is the verifier what it should be: a role that reads what verification needs, and can do nothing else?"""

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
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.inspect.session_checks import policy_of, tenant_of
from aoc_migrate.report.model import Finding, finding

POWERS = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
REFUSED = ("42501", "25006")  # insufficient_privilege, read_only_sql_transaction


def needed_tables(session: Session, contract: Contract, role: str) -> list[str]:
    """Return the tables that ``role`` reads when it verifies, as far as they exist.

    What the backfill keeps names rows of every tenant, so a role limited to one does without.
    """
    limited = tenant_of(session, contract.table, role) is not None
    names = (contract.table, *READ_BY_ALL, *(() if limited else (STATE, LOG)))
    return [name for name in names if catalog.kind(session, name) is not None]


def composed(session: Session, text: LiteralString, *names: str | Relation | sql.Composable) -> str:
    """Return a statement with names as psycopg quotes them on this connection."""
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
    """Return whether there is such a role."""
    return bool(session.value("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,)))


def too_mighty(session: Session, role: str) -> list[str]:
    """Return what makes a role more than a reader: attributes, memberships, things that it owns here."""
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


def check(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield what the role lacks, what it has too much, and what it could do when we tried as that role."""
    if not exists(session, role):
        yield finding("verifier-missing", role, target=session.target.name)
        return
    mighty = too_mighty(session, role)
    if mighty:
        yield finding("verifier-too-privileged", role, powers=", ".join(mighty))
        return
    yield from _lacking(session, contract, role)
    yield from _beyond(session, contract, role)
    if not session.value(
        "SELECT 'default_transaction_read_only=on' = ANY (rolconfig) FROM pg_roles WHERE rolname = %s", (role,)
    ):
        yield finding("verifier-not-read-only", role, quoted=session.quoted(role))
    yield from _tried(session, contract, role)


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
    guarded = session.value(
        "SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)", (str(session.schema[contract.table]),)
    )
    return bool(guarded) and policy_of(session, contract.table, role) is None


def _beyond(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield the relations of users' schemas that the role can read or change without need, whoever granted it."""
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
    """Return each relation of users' schemas: name, rights (read, change), is it needed, is it the quarantine.

    ``plain``: it is a table of a trusted role.
    """
    return session.rows(
        "SELECT c.oid::regclass::text AS name, array_remove(ARRAY["
        "CASE WHEN has_any_column_privilege(%(role)s, c.oid, 'SELECT') THEN 'read' END, "
        "CASE WHEN has_any_column_privilege(%(role)s, c.oid, 'INSERT') OR "
        "has_any_column_privilege(%(role)s, c.oid, 'UPDATE') OR has_table_privilege(%(role)s, c.oid, 'DELETE') "
        "OR has_table_privilege(%(role)s, c.oid, 'TRUNCATE') THEN 'change' END], NULL) AS rights, "
        "c.relname = ANY (%(needed)s) AND c.relnamespace = to_regnamespace(%(schema)s) AS needed, "
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


def _tried(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Try as the role, in a transaction that is rolled back, to write, to create, and to read other tables.

    Where that would run code of others, yield ``foreign-code`` and try nothing.
    """
    code = code_findings(session, contract, INSERT | UPDATE | DELETE | DDL)
    foreign = [finding for finding in code if finding.slug == FOREIGN]
    if foreign:  # it would run as the role, and could end that by RESET ROLE
        yield from foreign
        return
    attempts = [*_writes(session, contract), *_creations(session), *_readings(session, contract)]
    with session.connection.transaction(force_rollback=True):
        session.run("SET LOCAL transaction_read_only = off")  # it could turn it off as well: rights alone count
        session.run("SET LOCAL lock_timeout = '1s'")
        try:
            if session.value("SELECT current_user <> %s", (role,)):
                session.run(composed(session, "SET LOCAL ROLE {}", role))
        except psycopg.errors.InsufficientPrivilege:
            quoted = session.quoted(role)
            yield finding("verifier-not-tried", role, quoted=quoted, target=session.target.name)
            return
        for statement in attempts:
            if not _refused(session, statement):
                yield finding("verifier-could-write", role, what=statement)


def _writes(session: Session, contract: Contract) -> list[str]:
    table = session.schema[contract.table]
    return [
        f"INSERT INTO {table} SELECT * FROM {table} WHERE false",
        f"UPDATE {table} SET {contract.link} = NULL WHERE false",
        f"DELETE FROM {table} WHERE false",
    ]


def _creations(session: Session) -> list[str]:
    """Return statements that would make a schema, and a table in each schema of users."""
    rows = session.rows(
        "SELECT quote_ident(nspname) AS name FROM pg_namespace "
        "WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1"
    )
    return ["CREATE SCHEMA aoc_verifier_probe", *(f"CREATE TABLE {r['name']}.aoc_verifier_probe ()" for r in rows)]


def _readings(session: Session, contract: Contract) -> list[str]:
    """Return statements that would read the roles' passwords, and each table of users that is not needed.

    What the role may read anyway is ``verifier-reads-more``; trying that would prove nothing. Views and tables of
    strangers are left to the rights in the catalog: to plan a query is to run their immutable functions, which
    could end our acting as the role.
    """
    rows = _rights(session, contract, session.flags.verifier_user)
    others = [r["name"] for r in rows if r["plain"] and not r["needed"] and "read" not in r["rights"]]
    return [f"SELECT FROM {name} LIMIT 0" for name in ("pg_authid", *others)]


def _refused(session: Session, statement: str) -> bool:
    try:
        with session.connection.transaction(force_rollback=True):
            session.run(statement)
    except psycopg.errors.LockNotAvailable:
        return True  # somebody holds it: its rights, which were looked up, must do
    except psycopg.Error as error:
        return error.sqlstate in REFUSED
    return False
