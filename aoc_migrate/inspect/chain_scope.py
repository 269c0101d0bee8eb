"""Which chains `verify` reads."""

from dataclasses import dataclass
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.report.model import Finding, finding


@dataclass(frozen=True)
class Scope:
    """The chains to read: those of one ``tenant``, those with a revision stored in the last ``since`` seconds."""

    tenant: str | None = None
    since: float | None = None


def chains_in(session: Session, contract: Contract, scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return the predicate of the rows in the chains of a scope, and its parameters by name.

    A chain with a recent row is in it whole.
    """
    where, values = [contract.chained()], dict[str, Any]()
    if scope.tenant is not None:
        where.append("tenant = %(tenant)s")
        values["tenant"] = scope.tenant
    if scope.since is not None:
        key = ", ".join(contract.chain_key)
        rows, _ = recent(session, contract, scope.since, "%(since)s")
        where.append(f"({key}) IN (SELECT {key} FROM {session.schema[contract.table]} WHERE {rows})")
        values["since"] = scope.since
    return " AND ".join(where), values


def strange_tenant(session: Session, contract: Contract, tenant: str | None) -> list[Finding]:
    """Return a warning if ``tenant`` has no rows: it may be mistyped."""
    if tenant is None or "tenant" not in catalog.columns(session, contract.table):
        return []
    if session.value(
        f"SELECT EXISTS (SELECT 1 FROM {session.schema[contract.table]} WHERE tenant = %s)", (tenant,)
    ):
        return []
    return [finding("tenant-without-rows", contract.table, tenant=tenant)]


def recent(session: Session, contract: Contract, since: float, placeholder: str = "%s") -> tuple[str, list[float]]:
    """Return a predicate of the rows stored in the last ``since`` seconds, and its parameters.

    A revision retrieved long before it was stored counts too, because it may break its chain. ``retrieved_at``
    decides only where ``created_at`` is missing. Either can use an index.
    """
    after = f"{{}} >= now() - make_interval(secs => {placeholder})"
    retrieved = after.format("retrieved_at")
    if "created_at" not in catalog.columns(session, contract.table):
        return retrieved, [since]
    return f"({after.format('created_at')} OR created_at IS NULL AND {retrieved})", [since, since]
