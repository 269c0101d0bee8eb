"""Which chains `verify` reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.table_size import SAMPLE_PAGES, table_size
from aoc_migrate.report.model import Finding, finding

RECENT = "recent"
"""The name under which a query finds recent rows."""

_INDEXED = """
SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = %s
  WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND i.indpred IS NULL AND CASE amname
    WHEN 'btree' THEN a.attnum = i.indkey[0] WHEN 'brin' THEN a.attnum = ANY (i.indkey::int2[]) END)
"""


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
        raw = session.schema[contract.table]
        where.append(f"({key}) IN (SELECT {key} FROM {raw} AS {RECENT} WHERE {rows})")
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
    return [finding("tenant-without-rows", contract.table, raw=str(session.raw), tenant=tenant)]


def recent(session: Session, contract: Contract, since: float, placeholder: str = "%s") -> tuple[str, list[float]]:
    """Return a predicate of the rows stored in the last ``since`` seconds, and its parameters.

    A revision retrieved long before it was stored counts too, because it may break its chain. ``retrieved_at``
    decides only where ``created_at`` is missing.
    """
    after = f"{{}} >= now() - make_interval(secs => {placeholder})"
    retrieved = after.format("retrieved_at")
    if "created_at" not in catalog.columns(session, contract.table):
        return retrieved, [since]
    return f"({after.format('created_at')} OR created_at IS NULL AND {retrieved})", [since, since]


def without_index(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield ``since-without-index`` if no index finds recent rows in a table larger than a sample."""
    table = contract.table
    column = "created_at" if "created_at" in catalog.columns(session, table) else "retrieved_at"
    size = table_size(session, table)
    if size.pages > SAMPLE_PAGES and not session.value(_INDEXED, (column, str(session.schema[table]))):
        on = "each partition" if size.partitions else str(session.schema[table])
        yield finding("since-without-index", f"{table}.{column}", on=on, column=column)
