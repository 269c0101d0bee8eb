"""What the verifier is tried with: writes, creations and readings that PostgreSQL must refuse."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
from psycopg import sql

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import FOREIGN, code_findings
from aoc_migrate.database.events import DDL, DELETE, INSERT, UPDATE
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding

REFUSED = ("42501", "25006")  # insufficient_privilege, read_only_sql_transaction


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


def try_as_role(session: Session, contract: Contract, role: str, others: list[str]) -> Iterator[Finding]:
    """As the role, try to write, to create, and to read ``others``, in a transaction that is rolled back.

    If that would run code of untrusted roles, yield ``foreign-code`` and try nothing.
    """
    code = code_findings(session, contract, INSERT | UPDATE | DELETE | DDL)
    foreign = [finding for finding in code if finding.slug == FOREIGN]
    if foreign:  # it could RESET ROLE and run with our rights
        yield from foreign
        return
    readings = [f"SELECT FROM {name} LIMIT 0" for name in ("pg_authid", *others)]  # the first has passwords
    attempts = [*_writes(session, contract), *_creations(session), *readings]
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


def _refused(session: Session, statement: str) -> bool:
    try:
        with session.connection.transaction(force_rollback=True):
            session.run(statement)
    except psycopg.errors.LockNotAvailable:
        return True  # the rights in the catalog, which are checked too, must do
    except psycopg.Error as error:
        return error.sqlstate in REFUSED
    return False
