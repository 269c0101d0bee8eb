"""Checks of the verifier: a role that can read what verification needs, and can do nothing else."""

import shlex
from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import LOG, READ_BY_ALL, STATE
from aoc_migrate.database.majors import rights_beyond_select
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.inspect.row_security import has_policies, intact, restricted, tenant_of
from aoc_migrate.inspect.verifier_escapes import escapes
from aoc_migrate.inspect.verifier_tries import try_as_role
from aoc_migrate.report.model import Finding, finding

POWERS = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")


def needed_tables(session: Session, contract: Contract, role: str) -> list[str]:
    """Return the existing tables that ``role`` needs for verification.

    The records of the backfill name rows of every tenant, so a role limited to one tenant does not get them.
    """
    limited = tenant_of(session, contract.table, role) is not None
    names = (contract.table, *READ_BY_ALL, *(() if limited else (STATE, LOG)))
    return [name for name in names if catalog.kind(session, name) is not None]


def _may_change(session: Session, role: str) -> str:
    """Return the SQL condition that ``role``, in SQL, may do more to the relation ``c`` than read it."""
    of_columns = " OR ".join(
        f"has_any_column_privilege({role}, c.oid, '{right}')" for right in ("INSERT", "UPDATE", "REFERENCES")
    )
    return f"{of_columns} OR has_table_privilege({role}, c.oid, '{rights_beyond_select(session.connection)}')"


def _can_change(session: Session, name: str, role: str) -> Finding:
    rights = rights_beyond_select(session.connection)
    return finding("verifier-can-write", name, role=role, quoted=session.quoted(role), rights=rights)


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
        f"JOIN pg_roles r ON r.rolname = %s AND ({_may_change(session, 'r.oid')}) "
        "ORDER BY c.relispartition, 1",
        (str(session.schema[contract.table]), role),
    )
    for row in writable:
        yield _can_change(session, row["name"], role)


def check(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield what the role lacks, what it has too much of, and what we could do when acting as the role."""
    if not exists(session, role):
        yield finding("verifier-missing", role, target=session.target.name)
        return
    powers = excess_powers(session, role)
    if powers:
        yield finding("verifier-too-privileged", role, powers=", ".join(powers))
        return
    tenant = tenant_of(session, contract.table, role)
    if tenant is not None and not row_security(session, contract):
        yield not_limited(session, contract, tenant)
    yield from limit_lost(session, contract, role) or _lacking(session, contract, role)
    yield from _beyond(session, contract, role)
    yield from escapes(session, role)
    rows = _rights(session, contract, session.flags.verifier_user)
    # Views, and tables of untrusted roles, are not tried: planning a query runs their immutable functions, which
    # could RESET ROLE. What the role has a right to read is reported as verifier-reads-more already.
    others = [r["name"] for r in rows if r["plain"] and not r["needed"] and "read" not in r["rights"]]
    yield from try_as_role(session, contract, role, others)


def limit_lost(session: Session, contract: Contract, role: str) -> list[Finding]:
    """Return that policies of ours are missing for a role that is limited to one tenant, or may have been.

    A role whose policies are all gone was not limited if it reads what only an unlimited one is granted.
    """
    if not row_security(session, contract) or intact(session, contract.table, role):
        return []
    reads = [
        session.value(
            "SELECT has_table_privilege(%s, to_regclass(%s), 'SELECT')", (role, str(session.schema[table]))
        )
        for table in (contract.table, STATE, LOG)
    ]
    if not has_policies(session, contract.table, role) and (not reads[0] or any(reads[1:])):
        return []
    known = tenant_of(session, contract.table, role)
    tenant = "TENANT" if known is None else shlex.quote(known)
    return [finding("verifier-limit-lost", contract.table, role=role, tenant=tenant, target=session.target.name)]


def not_limited(session: Session, contract: Contract, tenant: str) -> Finding:
    """Return that a limit to ``tenant`` has no effect, because row-level security is off."""
    return finding("tenant-not-limited", contract.table, tenant=tenant, target=session.target.name)


def row_security(session: Session, contract: Contract) -> bool:
    """Return whether the raw table has row-level security."""
    return bool(
        session.value(
            "SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)",
            (str(session.schema[contract.table]),),
        )
    )


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
    others = session.value(
        f"SELECT {restricted('%s', 'pg_class.oid')} FROM pg_class WHERE oid = to_regclass(%s)",
        (role, str(session.schema[contract.table])),
    )
    return row_security(session, contract) and (others or not intact(session, contract.table, role))


def _beyond(session: Session, contract: Contract, role: str) -> Iterator[Finding]:
    """Yield the relations in users' schemas that the role can change, or can read without needing them."""
    rows = _rights(session, contract, role)
    for row in rows:
        if "change" in row["rights"]:
            yield _can_change(session, row["name"], role)
    readable = [row for row in rows if "read" in row["rights"] and not row["needed"]]
    more = [row["name"] for row in readable if not row["quarantine"]]
    if len(more) < len(readable):
        words = {"role": role, "quoted": session.quoted(role)}
        words["quarantine"] = str(session.schema[contract.quarantine])
        yield finding("verifier-reads-quarantine", contract.quarantine, **words)
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
        f"CASE WHEN {_may_change(session, '%(role)s')} THEN 'change' END], NULL) AS rights, "
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
