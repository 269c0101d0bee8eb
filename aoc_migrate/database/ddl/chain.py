"""The statements of the supersedes backfill: each is a batch with its journal, in a transaction of its own.

Key order in small transactions lets PostgreSQL update in place (HOT), where one big UPDATE or physical order
would double the table (`reference/limits.md` 5). The old values stay in the journal, so that the downgrade
sets back exactly the rows that were written here. What is printed into scripts is frozen by golden files; online
the parameters ``size`` and ``ids`` come with each batch.
"""

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database.books import JOURNAL, STATE
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.settings import Limits

BATCH = 2000  # rows, in scripts
MOST = Limits.batch_rows  # rows, online; --batch-rows allows no more
RETROFIT = "aoc.allow_supersedes_retrofit"


def wrong_links(contract: Contract, source: Relation | str, where: str = "true") -> str:
    """Return a query of (id, old, expected) over the rows of ``source`` whose link is not the previous row's id.

    The hash comes first in the sort because integers compare fast; the whole key follows, so it is exact
    (`reference/limits.md` 6).
    """
    key, order = ", ".join(contract.chain_key), ", ".join(contract.chain_order)
    return (
        f"SELECT id, old, expected FROM (SELECT id, {contract.link} AS old, lag(id) OVER ("
        f"PARTITION BY {key_hash(contract.chain_key)}, {key} ORDER BY {order}) AS expected FROM {source} "
        f"WHERE {where}) AS linked WHERE old IS DISTINCT FROM expected"
    )


def _write(contract: Contract, schema: Schema, match: tuple[str, ...] = ("id",), order: str = "") -> str:
    """Return the CTEs that write the rows of ``wrong`` and journal them in one row."""
    same = " AND ".join(f"t.{column} = w.{column}" for column in match)
    return f"""written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = w.expected FROM wrong AS w
  WHERE {same} AND t.{contract.link} IS NOT DISTINCT FROM w.old
  RETURNING t.id, w.old, w.expected
), journal AS (
  INSERT INTO {schema[JOURNAL]} (ids, old, new)
  SELECT array_agg(id{order}), array_agg(old{order}), array_agg(expected{order})
  FROM written HAVING count(*) > 0
)"""


def batch(contract: Contract, schema: Schema, name: str, *, online: bool = False) -> str:
    """Return one batch: reads on from the cursor kept under ``name``, writes, journals, moves the cursor.

    The cursor's own row is read again, because the first row of the page needs its predecessor. Returns
    (seen, written); ``seen`` is less than ``size`` when the end is reached. Online a row is found again by its
    place, and its partition by the key; and a plan that serves for any ``size`` knows the most that it can be.
    """
    match = ("id", "ctid", *contract.chain_key) if online else ("id",)
    place = ", ctid" if online else ""
    write = _write(contract, schema, match, "" if online else " ORDER BY id")
    columns = [*contract.chain_key, "retrieved_at", "id"]
    listed = ", ".join(columns)
    order = ", ".join((*contract.chain_key, *contract.chain_order))
    types = {column.name: column.type for column in contract.columns}
    start = ", ".join(f"(SELECT (value->'cursor'->>'{c}')::{types[c]} FROM place)" for c in columns)
    fields = ", ".join(f"'{c}', last.{c}" for c in columns)
    partition = ", ".join(contract.chain_key)
    ahead = f"""SELECT {listed}{place}, {contract.link} FROM {schema[contract.table]}
    WHERE ({order}) >= ({start})
    ORDER BY {order} LIMIT {(MOST if online else BATCH) + 1}"""
    if online:
        ahead = f"SELECT * FROM ({ahead}) AS most LIMIT %(size)s + 1"
    return f"""WITH place AS MATERIALIZED (
  SELECT value FROM {schema[STATE]} WHERE name = '{name}'
), page AS MATERIALIZED (
  SELECT {listed}{place}, {contract.link} AS old,
    lag(id) OVER (PARTITION BY {partition} ORDER BY {", ".join(contract.chain_order)}) AS expected
  FROM ({ahead}) AS ahead
), wrong AS (
  SELECT {", ".join(match)}, old, expected FROM page
  WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
), {write}, last AS (
  SELECT {listed} FROM page
  ORDER BY {", ".join(f"{c} DESC" for c in (*contract.chain_key, *contract.chain_order))} LIMIT 1
), moved AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'cursor', jsonb_build_object({fields}), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
  FROM last WHERE name = '{name}'
)
SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
  (SELECT count(*) FROM written) AS written FROM page"""


def physical_batch(contract: Contract, schema: Schema, name: str) -> str:
    """Return one batch in physical order: ``blocks`` of the heap; predecessors are looked up in the chain index.

    Returns (seen, written, block); ``block`` is the one that comes next.
    """
    same = " AND ".join(f"p.{c} = t.{c}" for c in contract.chain_key)
    before = " < ".join(f"({', '.join(f'{row}.{c}' for c in contract.chain_order)})" for row in "pt")
    backwards = ", ".join(f"p.{c} DESC" for c in contract.chain_order)
    return f"""WITH place AS MATERIALIZED (
  SELECT coalesce((value->>'block')::bigint, 0) AS block FROM {schema[STATE]} WHERE name = '{name}'
), page AS MATERIALIZED (
  SELECT id, ctid, {contract.link} AS old, (SELECT p.id FROM {schema[contract.table]} AS p
    WHERE {same} AND {before} ORDER BY {backwards} LIMIT 1) AS expected
  FROM {schema[contract.table]} AS t WHERE ctid >= (SELECT format('(%%s,0)', block)::tid FROM place)
    AND ctid < (SELECT format('(%%s,0)', block + %(blocks)s)::tid FROM place)
), wrong AS (
  SELECT id, ctid, old, expected FROM page WHERE old IS DISTINCT FROM expected
), {_write(contract, schema, ("id", "ctid"))}, moved AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'block', place.block + %(blocks)s, 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
  FROM place WHERE name = '{name}'
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM written) AS written,
  block + %(blocks)s AS block FROM place"""


def sweep(contract: Contract, schema: Schema, name: str) -> str:
    """Return the statement of scripts that mends up to one batch of links anywhere, for rows stored meanwhile."""
    return f"""WITH wrong AS (
  {wrong_links(contract, schema[contract.table])} LIMIT {BATCH}
), {_write(contract, schema, order=" ORDER BY id")}, {_counted(schema, name)}
SELECT count(*) AS seen, count(*) AS written FROM written"""


def mend(contract: Contract, schema: Schema, name: str) -> str:
    """Return the statement that mends what a scan found: ``ids``, ``olds``, ``expecteds`` of `wrong_links`."""
    return f"""WITH wrong AS (
  SELECT * FROM unnest(%(ids)s::text[], %(olds)s::text[], %(expecteds)s::text[]) AS found (id, old, expected)
), {_write(contract, schema)}, {_counted(schema, name)}
SELECT cardinality(%(ids)s::text[]) AS seen, (SELECT count(*) FROM written) AS written"""


def _counted(schema: Schema, name: str) -> str:
    return f"""counted AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written)) WHERE name = '{name}'
)"""


def restore_batch(contract: Contract, schema: Schema) -> str:
    """Return the statement that takes back the latest batch; returns (seen, written, kept ids)."""
    return f"""WITH latest AS (
  DELETE FROM {schema[JOURNAL]} WHERE batch = (SELECT max(batch) FROM {schema[JOURNAL]}) RETURNING ids, old, new
), pairs AS (
  SELECT p.* FROM latest, unnest(ids, old, new) AS p (id, old, new)
), written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = p.old FROM pairs AS p
  WHERE t.id = p.id AND t.{contract.link} IS NOT DISTINCT FROM p.new RETURNING t.id
)
SELECT (SELECT count(*) FROM latest) AS seen, (SELECT count(*) FROM written) AS written,
  ARRAY(SELECT id FROM pairs WHERE id NOT IN (SELECT id FROM written) ORDER BY id) AS kept"""


def set_back(contract: Contract, schema: Schema) -> str:
    """Return the statement that takes back the last ``size`` rows of the latest batch, and leaves the rest of it.

    Returns (seen, written, kept ids) as `restore_batch` does; ``seen`` is the number of rows, 0 at the end.
    """
    return f"""WITH latest AS (
  SELECT *, greatest(cardinality(ids) - %(size)s, 0) AS rest FROM {schema[JOURNAL]} ORDER BY batch DESC LIMIT 1
), ended AS (
  DELETE FROM {schema[JOURNAL]} AS j USING latest AS l WHERE j.batch = l.batch AND l.rest = 0
), shortened AS (
  UPDATE {schema[JOURNAL]} AS j SET ids = l.ids[:l.rest], old = l.old[:l.rest], new = l.new[:l.rest]
  FROM latest AS l WHERE j.batch = l.batch AND l.rest > 0
), pairs AS MATERIALIZED (
  SELECT p.* FROM latest, unnest(ids[rest + 1:], old[rest + 1:], new[rest + 1:]) AS p (id, old, new)
), written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = p.old FROM pairs AS p
  WHERE t.id = p.id AND t.{contract.link} IS NOT DISTINCT FROM p.new RETURNING t.id
)
SELECT (SELECT count(*) FROM pairs) AS seen, (SELECT count(*) FROM written) AS written,
  ARRAY(SELECT id FROM pairs WHERE id NOT IN (SELECT id FROM written) ORDER BY id) AS kept"""
