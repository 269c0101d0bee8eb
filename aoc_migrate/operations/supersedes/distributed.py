"""The batches of the supersedes links on a Citus cluster: one tenant at a time, because a chain lies in one shard.

What one statement does on a single server, Citus refuses, or runs as a dozen (`reference/citus.md`). So a batch
reads a page of one tenant, writes that tenant's links, and then tables of ours, in one transaction: each statement
goes to one shard, or to none.
"""

from collections.abc import Sequence
from typing import Any

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.spread.commit import commit_as_one
from aoc_migrate.operations.supersedes.link_journal import LINKS, listed
from aoc_migrate.operations.supersedes.statements import count_links

PLANS = """SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL enable_seqscan TO off;
SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_hashjoin TO off; SET LOCAL enable_mergejoin TO off"""
"""Settings of a batch that workers get as well: they find rows through the indexes, whatever statistics say."""
_PLACE = ("tenant", "source_vendor", "upstream_id", "retrieved_at", "id")


def first_place(tenant: str) -> dict[str, str]:
    """Return the cursor before the first possible row of a tenant."""
    return dict.fromkeys(_PLACE, "") | {"tenant": tenant, "retrieved_at": "-infinity"}


def next_tenant(contract: Contract, schema: Schema) -> str:
    """Return the query of the first tenant after ``tenant``, NULL after the last one."""
    return f"SELECT min(tenant) AS tenant FROM {schema[contract.table]} WHERE tenant > %(tenant)s"


def page(contract: Contract, schema: Schema) -> str:
    """Return the query of one tenant's next ``size`` rows, with the link that each has, and the one that it needs.

    The cursor's own row comes first: the row after it needs its id.
    """
    columns, order = ", ".join(_PLACE), ", ".join((*contract.chain_key, *contract.chain_order))
    key, within = ", ".join(contract.chain_key), ", ".join(contract.chain_order)
    start = "%(tenant)s, %(source_vendor)s, %(upstream_id)s, %(retrieved_at)s::timestamptz, %(id)s"
    return f"""SELECT {columns.replace("retrieved_at", "retrieved_at::text")}, old, expected FROM (
  SELECT {columns}, {contract.link} AS old, lag(id) OVER (PARTITION BY {key} ORDER BY {within}) AS expected
  FROM (SELECT {columns}, {contract.link} FROM {schema[contract.table]}
    WHERE tenant = %(tenant)s AND ({order}) >= ({start}) AND {contract.chained()}
    ORDER BY {order} LIMIT %(size)s + 1) AS ahead
) AS linked ORDER BY {order}"""


def write(contract: Contract, schema: Schema, match: Sequence[str] = ("id",), *, routed: bool = True) -> str:
    """Return the statement that changes links of one tenant from ``old`` to ``new``; it returns the changed rows.

    ``match``: the columns by which it finds a row, each an array of values. Not ``routed``, it asks every shard:
    the table was linked before it was distributed, and the journal has no tenants.
    """
    listed = ", ".join((*match, "old", "new"))
    values = ", ".join(f"%({name})s::text[]" for name in (*match, "old", "new"))
    shard = "t.tenant = %(tenant)s AND " if routed else ""
    same = " AND ".join(f"t.{column} = w.{column}" for column in match)
    return f"""WITH wanted AS MATERIALIZED (SELECT * FROM unnest({values}) AS w ({listed}))
UPDATE {schema[contract.table]} AS t SET {contract.link} = w.new FROM wanted AS w
WHERE {shard}{same} AND t.{contract.link} IS NOT DISTINCT FROM w.old RETURNING t.id, w.old, w.new"""


def journal(schema: Schema) -> str:
    """Return the statement that journals links of one tenant."""
    return f"INSERT INTO {schema[JOURNAL]} (tenant, links) VALUES (%(tenant)s, %(links)s::text[])"


def move_cursor(schema: Schema, name: str) -> str:
    """Return the statement that keeps a place under ``name``, and counts the rows that were seen."""
    fields = ", ".join(f"'{column}', %({column})s::text" for column in _PLACE)
    return f"""UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
  'cursor', jsonb_build_object({fields}), 'seen', (value->>'seen')::bigint + %(seen)s::bigint)
WHERE name = '{name}'"""


def latest(schema: Schema) -> str:
    """Return the query of the last ``size`` links of the journal's latest row; nothing where it is empty.

    What was written is ``old`` now, and what was there before is ``new``.
    """
    return f"""SELECT batch, tenant, rest, array_agg(id) AS id, array_agg(w.new) AS old, array_agg(w.old) AS new
FROM (SELECT *, greatest({LINKS} - %(size)s, 0) AS rest FROM {schema[JOURNAL]}
  ORDER BY batch DESC LIMIT 1) AS latest, LATERAL ({listed("links[rest + 1:]")}) AS w
GROUP BY batch, tenant, rest"""


def shorten(schema: Schema) -> tuple[str, str]:
    """Return the statements that take from the journal what `latest` returned."""
    table = schema[JOURNAL]
    return (
        f"DELETE FROM {table} WHERE batch = %(batch)s AND %(rest)s = 0",
        f"UPDATE {table} SET links = links[:%(rest)s] WHERE batch = %(batch)s AND %(rest)s > 0",
    )


def link_page(session: Session, contract: Contract, name: str, place: dict[str, Any], size: int) -> Row:
    """Link the next rows of a tenant, and keep the place of the last one; return it with (seen, written)."""
    _begin(session, contract)
    rows = session.rows(page(contract, session.schema), place | {"size": size})
    rows = [row for row in rows if row["id"] != place["id"]]
    wrong = [row | {"new": row["expected"]} for row in rows if row["old"] != row["expected"]]
    written = _write(session, contract, name, wrong, ("id", *contract.chain_key[1:]))
    seen = {"seen": len(rows)}
    if rows:
        session.run(move_cursor(session.schema, name), rows[-1] | seen)
    return (rows[-1] if rows else place) | seen | {"written": written}


def repair_found(session: Session, contract: Contract, name: str, found: list[Row]) -> Row:
    """Repair rows of a scan that are of the first row's tenant; return (seen, written)."""
    _begin(session, contract)
    rows = [row | {"new": row["expected"]} for row in found if row["tenant"] == found[0]["tenant"]]
    return {"seen": len(rows), "written": _write(session, contract, name, rows, ("id",))}


def _begin(session: Session, contract: Contract) -> None:
    """Prepare the transaction of a batch: links and journal are committed as one, and plans use the indexes."""
    session.run(PLANS)
    commit_as_one(session, contract.table)


def _write(session: Session, contract: Contract, name: str, rows: list[Row], match: Sequence[str]) -> int:
    """Write the links of rows of one tenant, journal and count them; return how many were written."""
    if not rows:
        return 0
    tenant = {"tenant": rows[0]["tenant"]}
    changed = session.rows(write(contract, session.schema, match), _columns(rows, *match, "old", "new") | tenant)
    if changed:
        links = [[row["id"], row["new"], row["old"]] for row in changed]
        session.run(journal(session.schema), {"links": links} | tenant)
        session.run(count_links(session.schema, name, "%(rows)s::bigint"), {"rows": len(changed)})
    return len(changed)


def _columns(rows: list[Row], *names: str) -> Row:
    return {name: [row[name] for row in rows] for name in names}


def set_back_latest(session: Session, contract: Contract, name: str, size: int) -> Row:
    """Set back the latest links of the journal; return (seen, written, kept) as on a single server."""
    _begin(session, contract)
    links = next(iter(session.rows(latest(session.schema), {"size": size})), None)
    if links is None:
        return {"seen": 0, "written": 0, "kept": []}
    statement = write(contract, session.schema, routed=links["tenant"] is not None)
    written = {row["id"] for row in session.rows(statement, links)}
    for change in shorten(session.schema):
        session.run(change, links)
    seen = len(links["id"])
    session.run(count_links(session.schema, name, "-%(seen)s::bigint"), {"seen": seen})
    return {"seen": seen, "written": len(written), "kept": sorted({*links["id"]} - written)}
