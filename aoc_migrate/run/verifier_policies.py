"""The policies of a verifier: every row, or one tenant's, in tables with row-level security."""

from collections.abc import Iterator, Mapping
from itertools import chain, count
from typing import LiteralString

from psycopg import sql

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.row_security import ALL_ROWS_POLICY, OURS, TENANT_POLICY, intact, tenant_of
from aoc_migrate.inspect.verifier_tries import composed
from aoc_migrate.operations.execute import Online
from aoc_migrate.operations.step import Kind, Lock, Step
from aoc_migrate.revisions.graph import swap_of

Changes = Mapping[str, list[str]]
"""The statements that change the policies of each table."""


def replacements(session: Session, contract: Contract, role: str, tenant: str | None) -> Changes:
    """Return what lets ``role`` see every row, or one tenant's, of the raw table and of the backup table.

    Without ``tenant``, a limit stays: a new password does not widen what the role sees.
    """
    if tenant is None:
        tenant, kept = tenant_of(session, contract.table, role), True
    else:
        kept = False
    changes = {
        table: list(_replaced(session, table, role, tenant))
        for table in _with_row_security(session, contract)
        if not (kept and intact(session, table, role))
    }
    return {table: statements for table, statements in changes.items() if statements}


def drops(session: Session, role: str) -> Changes:
    """Return what drops the policies of ``role`` in the whole schema. Those of other roles stay."""
    rows = session.rows(
        "SELECT DISTINCT relname FROM pg_policy JOIN pg_class c ON c.oid = polrelid "
        f"WHERE {_OF_ROLE} AND relnamespace = to_regnamespace(quote_ident(%s)) ORDER BY relname",
        (role, session.target.schema),
    )
    return {row["relname"]: _drops(session, row["relname"], role) for row in rows}


def change_policies(session: Session, changes: Changes) -> None:
    """Change the policies of each table at once, under a bounded strong lock."""
    for name, statements in changes.items():
        step = Step(Kind.CHANGE_POLICIES, session.schema[name], (name,), Lock.ACCESS_EXCLUSIVE, tuple(statements))
        Online(session).run(step)


_OF_ROLE = f"{OURS} AND polroles = ARRAY(SELECT oid FROM pg_roles WHERE rolname = %s)"


def _with_row_security(session: Session, contract: Contract) -> list[str]:
    """Return the raw table and the backup table, as far as they have row-level security."""
    found = swap_of(session.target.name)
    names = [contract.table, *([found.swap.backup] if found else [])]
    rows = session.rows(
        "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relrowsecurity "
        "AND relnamespace = to_regnamespace(quote_ident(%s)) ORDER BY relname",
        (names, session.target.schema),
    )
    return [row["relname"] for row in rows]


def _replaced(session: Session, table: str, role: str, tenant: str | None) -> Iterator[str]:
    yield from _drops(session, table, role)
    if tenant is None:
        yield _policy(session, ALL_ROWS_POLICY, table, "PERMISSIVE", role, sql.SQL("true"))
    elif "tenant" in catalog.columns(session, table):  # otherwise all of its rows stay hidden
        visible = sql.SQL("tenant = {}").format(sql.Literal(tenant))
        yield _policy(session, ALL_ROWS_POLICY, table, "PERMISSIVE", role, visible)
        # A policy of the services may apply to every role and show this one more.
        yield _policy(session, TENANT_POLICY, table, "RESTRICTIVE", role, visible)


def _policy(
    session: Session, name: str, table: str, kind: LiteralString, role: str, visible: sql.Composable
) -> str:
    text: LiteralString = "CREATE POLICY {} ON {} AS {} FOR SELECT TO {} USING ({})"
    free = _free_name(session, name, table, role)
    return composed(session, text, free, session.schema[table], sql.SQL(kind), role, visible)


def _free_name(session: Session, name: str, table: str, role: str) -> str:
    """Return ``name``, with a number where another role's policy has it: a table has each name only once."""
    rows = session.rows(
        f"SELECT polname FROM pg_policy WHERE polrelid = to_regclass(%s) AND NOT ({_OF_ROLE})",
        (str(session.schema[table]), role),
    )
    taken = {row["polname"] for row in rows}
    return next(free for free in chain([name], (f"{name}_{n}" for n in count(2))) if free not in taken)


def _drops(session: Session, table: str, role: str) -> list[str]:
    relation: Relation = session.schema[table]
    rows = session.rows(
        f"SELECT polname FROM pg_policy WHERE polrelid = to_regclass(%s) AND {_OF_ROLE} ORDER BY polname",
        (str(relation), role),
    )
    return [composed(session, "DROP POLICY {} ON {}", row["polname"], relation) for row in rows]
