"""`verifier`: the read-only role under which verification runs (the guide's section 3)."""

import shlex
from collections.abc import Iterable
from contextlib import suppress
from typing import LiteralString

import psycopg
from psycopg import sql

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import BOOKKEEPING
from aoc_migrate.database.error_text import first_line
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.inspect import verifier_role as verifier
from aoc_migrate.inspect.chain_scope import strange_tenant
from aoc_migrate.inspect.granting import may_not_alter, may_not_let_in
from aoc_migrate.inspect.row_security import tenant_of
from aoc_migrate.inspect.session_checks import table_missing, write_findings
from aoc_migrate.inspect.verifier_role import excess_powers, exists, limit_lost, needed_tables, row_security
from aoc_migrate.inspect.verifier_tries import composed
from aoc_migrate.report.facts.runs import VerifierFacts
from aoc_migrate.report.model import Finding, Next, Report, finding
from aoc_migrate.revisions import ledger
from aoc_migrate.revisions.current import locked
from aoc_migrate.revisions.graph import contract_at
from aoc_migrate.run.verifier_policies import change_policies, drops, replacements

CONNECTION_LIMIT = 5
_TRIES = 5
_ROTATED = "The password is the one in the file; the server got only a salted hash of it. "
_KEPT = "No password was set; --password-file sets one. "
_LOGIN = (
    "To connect as the role, give its password in {password}, or in the file that {password}_FILE names, and "
    "unset the other; both win over PGPASSWORD."
)


def run_check(session: Session, report: Report) -> None:
    """Check that the role has the rights it needs and no more, and try what it must not be able to do."""
    contract = _contract(session, report)
    if contract:
        _report_tenant(report, tenant_of(session, contract.table, session.flags.verifier_user))
        report.findings += verifier.check(session, contract, session.flags.verifier_user)
        report.next = Next() if report.errors else _verify(session)


def run_create(session: Session, report: Report, password: str | None, tenant: str | None) -> None:
    """Create the role if it is missing, set its password, grant what it needs, and check it.

    An existing role gets the new password (rotation) and the rights it lacks. With ``tenant``, it sees that
    tenant's rows only. A role that is limited to a tenant stays limited until it is dropped.
    """
    contract, role = _contract(session, report), session.flags.verifier_user
    if contract is None:
        return
    changed = replacements(session, contract, role, tenant)
    report.findings += [*_obstacles(session, contract, role, changed), *may_not_let_in(session, role)]
    limit = tenant_of(session, contract.table, role) if tenant is None else tenant
    if limit is not None and not row_security(session, contract):
        report.findings.append(verifier.not_limited(session, contract, limit))
    if limit is None and exists(session, role):
        report.findings += limit_lost(session, contract, role)
    report.findings += strange_tenant(session, contract, tenant)
    if report.errors:
        return
    with locked(session, report), ledger.recorded(session, report, "verifier create", report.revision):
        report.changed = True
        _make_role(session, role)
        # Before the grants: an interruption must not show more.
        change_policies(session, replacements(session, contract, role, tenant))
        _report_tenant(report, tenant_of(session, contract.table, role))
        _grant(session, contract, role)
        _set_password(session, role, password)
    report.findings += verifier.check(session, contract, role)
    report.failed = bool(report.errors)
    report.next = _verify(session, _ROTATED if password else _KEPT)


def run_drop(session: Session, report: Report) -> None:
    """Revoke the role's rights, drop its own policies, and drop it unless another database depends on it."""
    contract, role = _contract(session, report), session.flags.verifier_user
    if contract is None:
        return
    if not exists(session, role):
        report.next = Next(note=f"There is no role {role}.")
        return
    report.findings += _obstacles(session, contract, role, drops(session, role))
    if report.errors:
        return
    with locked(session, report), ledger.recorded(session, report, "verifier drop", report.revision):
        report.changed = True
        try:
            with suppress(psycopg.errors.UndefinedObject):  # the other target's run dropped it: nothing was left
                _drop(session, contract, role)
        except psycopg.errors.DependentObjectsStillExist as error:
            values = {"reason": first_line(error, session.target), "quoted": session.quoted(role)}
            report.findings.append(finding("verifier-not-dropped", role, **values))


def _drop(session: Session, contract: Contract, role: str) -> None:
    for table in (name for name in (contract.table, *BOOKKEEPING) if catalog.kind(session, name) is not None):
        _run(session, "REVOKE ALL ON {} FROM {}", session.schema[table], role)
    change_policies(session, drops(session, role))  # after that: an interruption must not show more
    _run(session, "REVOKE ALL ON SCHEMA {} FROM {}", session.target.schema, role)
    _run(session, "REVOKE ALL ON DATABASE {} FROM {}", session.connection.info.dbname, role)
    _run(session, "DROP ROLE {}", role)


def _verify(session: Session, note: str = "") -> Next:
    """Return the verify that connects as the role."""
    name, login = session.target.name, session.target.login(session.flags.verifier_user)
    variable = name.upper()
    command = f"{variable}_DATABASE_URL={shlex.quote(login)} aoc-migrate verify {name}"
    return Next(command, note=note + _LOGIN.format(password=f"{variable}_DATABASE_PASSWORD"))


def _obstacles(session: Session, contract: Contract, role: str, changed: Iterable[str]) -> list[Finding]:
    """Return why the role cannot be created or altered, or the policies of the tables that are ``changed``."""
    powers = excess_powers(session, role) if exists(session, role) else []
    if powers:
        return [finding("verifier-too-privileged", role, powers=", ".join(powers))]
    bookkeeping = (table for table in BOOKKEEPING if catalog.kind(session, table) is not None)
    return [*write_findings(session, [contract.table, *bookkeeping, *changed]), *may_not_alter(session, role)]


def _contract(session: Session, report: Report) -> Contract | None:
    contract = contract_at(session.target.name, report.revision)
    if catalog.kind(session, contract.table) is not None:
        return contract
    report.findings.append(table_missing(session, contract, report.revision))
    return None


def _report_tenant(report: Report, tenant: str | None) -> None:
    if tenant is not None:
        report.put(VerifierFacts(tenant))


def _run(session: Session, text: LiteralString, *names: str | Relation | sql.Composable) -> None:
    """Run a statement; again, where the same command for the other target has changed the role meanwhile.

    The role is the server's, and the run lock is the database's: nothing keeps two such runs apart.
    """
    statement = composed(session, text, *names)
    for _ in range(_TRIES - 1):
        # XX000 is "tuple concurrently updated": the other change is committed by then.
        with suppress(psycopg.errors.InternalError_, psycopg.errors.UniqueViolation):
            session.run(statement)
            return
    session.run(statement)


def _make_role(session: Session, role: str) -> None:
    if not exists(session, role):
        with suppress(psycopg.errors.DuplicateObject):
            _run(session, "CREATE ROLE {}", role)
    _run(session, "ALTER ROLE {} LOGIN CONNECTION LIMIT {}", role, sql.Literal(CONNECTION_LIMIT))
    _run(session, "ALTER ROLE {} SET default_transaction_read_only = on", role)
    here = session.connection.info.dbname  # what is set there would win
    _run(session, "ALTER ROLE {} IN DATABASE {} RESET default_transaction_read_only", role, here)


def _set_password(session: Session, role: str, password: str | None) -> None:
    """Set the password, if there is one. Only its SCRAM verifier, computed here, reaches the server."""
    if password is not None:
        libpq = session.connection.pgconn
        scram = libpq.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        _run(session, "ALTER ROLE {} PASSWORD {}", role, sql.Literal(scram))


def _grant(session: Session, contract: Contract, role: str) -> None:
    if not session.value("SELECT has_database_privilege(%s, current_database(), 'CONNECT')", (role,)):
        _run(session, "GRANT CONNECT ON DATABASE {} TO {}", session.connection.info.dbname, role)
    _run(session, "GRANT USAGE ON SCHEMA {} TO {}", session.target.schema, role)
    needed = needed_tables(session, contract, role)
    tables = sql.SQL(", ").join(sql.Identifier(session.target.schema, table) for table in needed)
    _run(session, "GRANT SELECT ON {} TO {}", tables, role)
    for table in (name for name in BOOKKEEPING if name not in needed and catalog.kind(session, name) is not None):
        _run(session, "REVOKE ALL ON {} FROM {}", session.schema[table], role)
