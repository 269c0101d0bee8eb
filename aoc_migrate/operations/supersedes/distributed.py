"""The batches of the supersedes links on a Citus cluster: one tenant at a time, because a chain lies in one shard.

A batch is one statement on the raw table, which Citus sends to the shard of its tenant, and one on tables of ours,
in the same transaction: what one statement does on a single server, Citus refuses (`reference/citus.md`).
"""

from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Row, Session
from aoc_migrate.operations.supersedes.statements import count_links

SETTINGS = """SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL enable_seqscan TO off;
SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_hashjoin TO off; SET LOCAL enable_mergejoin TO off"""
"""What the workers must know as well: rows are found through the indexes, whatever the statistics say."""
_CURSOR = ("tenant", "source_vendor", "upstream_id", "retrieved_at", "id")


def first_place(tenant: str) -> dict[str, str]:
    """Return the cursor before the first possible row of a tenant."""
    return dict.fromkeys(_CURSOR, "") | {"tenant": tenant, "retrieved_at": "-infinity"}


def next_tenant(contract: Contract, schema: Schema) -> str:
    """Return the query of the first tenant after ``tenant``, NULL after the last one."""
    return f"SELECT min(tenant) AS tenant FROM {schema[contract.table]} WHERE tenant > %(tenant)s"


def link_page(contract: Contract, schema: Schema) -> str:
    """Return the statement that links the next ``size`` rows of one tenant, and journals what it writes.

    It returns (seen, written) and the place of the last row; ``seen`` is less than ``size`` at the tenant's end.
    """
    raw, link = schema[contract.table], contract.link
    columns, order = ", ".join(_CURSOR), ", ".join((*contract.chain_key, *contract.chain_order))
    key, within = ", ".join(contract.chain_key), ", ".join(contract.chain_order)
    start = "%(tenant)s, %(source_vendor)s, %(upstream_id)s, %(retrieved_at)s::timestamptz, %(id)s"
    same = " AND ".join(f"t.{column} = w.{column}" for column in (*contract.chain_key[1:], "id"))
    last = ", ".join(f"{column} DESC" for column in (*contract.chain_key, *contract.chain_order))
    return f"""WITH page AS MATERIALIZED (
  SELECT {columns}, {link} AS old, lag(id) OVER (PARTITION BY {key} ORDER BY {within}) AS expected
  FROM (SELECT {columns}, {link} FROM {raw}
    WHERE tenant = %(tenant)s AND ({order}) >= ({start}) AND {contract.chained()}
    ORDER BY {order} LIMIT %(size)s + 1) AS ahead
), wrong AS MATERIALIZED (
  SELECT {columns}, old, expected FROM page WHERE old IS DISTINCT FROM expected AND id <> %(id)s
), written AS (
  UPDATE {raw} AS t SET {link} = w.expected FROM wrong AS w
  WHERE t.tenant = %(tenant)s AND {same} AND t.{link} IS NOT DISTINCT FROM w.old
  RETURNING t.tenant, t.id, w.old, w.expected
), {_journal(schema)}, last AS (
  SELECT {columns.replace("retrieved_at", "retrieved_at::text")} FROM page ORDER BY {last} LIMIT 1
)
SELECT * FROM (SELECT (SELECT count(*) FROM page WHERE id <> %(id)s) AS seen,
  (SELECT count(*) FROM written) AS written) AS counted LEFT JOIN last ON true"""


def repair_found(contract: Contract, schema: Schema) -> str:
    """Return the statement that repairs rows of a scan, given as arrays, and journals what it writes."""
    return f"""WITH wrong AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::text[], %(tenants)s::text[], %(olds)s::text[], %(expecteds)s::text[])
    AS found (id, tenant, old, expected)
), written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = w.expected FROM wrong AS w
  WHERE t.tenant = w.tenant AND t.id = w.id AND t.{contract.link} IS NOT DISTINCT FROM w.old
  RETURNING t.tenant, t.id, w.old, w.expected
), {_journal(schema)}
SELECT cardinality(%(ids)s::text[]) AS seen, (SELECT count(*) FROM written) AS written"""


def _journal(schema: Schema) -> str:
    """Return the CTE that journals the rows of ``written``, a row a tenant."""
    return f"""journal AS (
  INSERT INTO {schema[JOURNAL]} (tenant, ids, old, new)
  SELECT tenant, array_agg(id), array_agg(old), array_agg(expected) FROM written GROUP BY tenant
)"""


def move_cursor(schema: Schema, name: str) -> str:
    """Return the statement that keeps the place of the last row, and counts, under ``name``."""
    fields = ", ".join(f"'{column}', %({column})s::text" for column in _CURSOR)
    return f"""UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
  'cursor', jsonb_build_object({fields}), 'rows', (value->>'rows')::bigint + %(written)s::bigint,
  'seen', (value->>'seen')::bigint + %(seen)s::bigint) WHERE name = '{name}'"""


def latest_links(schema: Schema) -> str:
    """Return the query of the last ``size`` links of the journal's latest row; nothing where it is empty."""
    return f"""SELECT batch, tenant, rest, ids[rest + 1:] AS ids, old[rest + 1:] AS old, new[rest + 1:] AS new
FROM (SELECT *, greatest(cardinality(ids) - %(size)s, 0) AS rest FROM {schema[JOURNAL]}
  ORDER BY batch DESC LIMIT 1) AS latest"""


def set_back_links(contract: Contract, schema: Schema, *, tenant: bool = True) -> str:
    """Return the statement that sets back links of one tenant, given as arrays; it returns the ids that it wrote.

    ``tenant`` is false where the journal knows none: the table joined the cluster after it was linked.
    """
    shard = "t.tenant = %(tenant)s AND " if tenant else ""
    return f"""WITH pairs AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::text[], %(old)s::text[], %(new)s::text[]) AS p (id, old, new)
), written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = p.old FROM pairs AS p
  WHERE {shard}t.id = p.id AND t.{contract.link} IS NOT DISTINCT FROM p.new RETURNING t.id
)
SELECT coalesce(array_agg(id), '{{}}') AS ids FROM written"""


def shorten_journal(schema: Schema) -> tuple[str, str]:
    """Return the statements that take the links that were set back from the journal."""
    journal = schema[JOURNAL]
    return (
        f"DELETE FROM {journal} WHERE batch = %(batch)s AND %(rest)s = 0",
        f"UPDATE {journal} SET ids = ids[:%(rest)s], old = old[:%(rest)s], new = new[:%(rest)s] "
        "WHERE batch = %(batch)s AND %(rest)s > 0",
    )


def run_page(session: Session, contract: Contract, name: str, cursor: dict[str, Any], size: int) -> Row:
    """Link the next rows of one tenant, and move the cursor behind them."""
    session.run(SETTINGS)
    row = session.row(link_page(contract, session.schema), cursor | {"size": size})
    if row["seen"]:
        session.run(move_cursor(session.schema, name), row)
    return row


def run_repair(session: Session, contract: Contract, name: str, found: Row) -> Row:
    """Repair rows of a scan, and count them."""
    session.run(SETTINGS)
    row = session.row(repair_found(contract, session.schema), found)
    session.run(count_links(session.schema, name, "%(written)s::bigint"), row)
    return row


def run_set_back(session: Session, contract: Contract, name: str, size: int) -> Row:
    """Set back the latest links of the journal; return (seen, written, kept) as on a single server."""
    session.run(SETTINGS)
    latest = next(iter(session.rows(latest_links(session.schema), {"size": size})), None)
    if latest is None:
        return {"seen": 0, "written": 0, "kept": []}
    statement = set_back_links(contract, session.schema, tenant=latest["tenant"] is not None)
    written = session.row(statement, latest)["ids"]
    for change in shorten_journal(session.schema):
        session.run(change, latest)
    seen = len(latest["ids"])
    session.run(count_links(session.schema, name, "-%(seen)s::bigint"), {"seen": seen})
    return {"seen": seen, "written": len(written), "kept": sorted({*latest["ids"]} - {*written})}
