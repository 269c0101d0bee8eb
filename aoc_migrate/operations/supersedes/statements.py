"""The statements of the supersedes backfill: each is a batch with its journal, in a transaction of its own.

Key order in small transactions lets PostgreSQL update in place (HOT), where one big UPDATE would double the table
(`reference/limits.md` 5). The old values stay in the journal, so that the downgrade sets back exactly the rows
that the backfill wrote. Arguments such as ``size`` are placeholders: psycopg's by default, ``$1`` in a procedure
that executes the statement USING a value.
"""

from aoc_migrate.contract.model import Contract, key_hash
from aoc_migrate.database.bookkeeping import JOURNAL, STATE
from aoc_migrate.database.relation import Relation, Schema
from aoc_migrate.database.state import record
from aoc_migrate.operations.supersedes.link_journal import LINKS, gathered, listed

MOST = 20_000  # rows of a batch; --batch-rows allows no more
RETROFIT = "aoc.allow_supersedes_retrofit"
CHAIN = "chain"
"""The name under which `chain --apply` keeps its cursor and count; a revision keeps its own under its id."""


def wrong_links(
    contract: Contract, source: Relation | str, where: str = "", identity: tuple[str, ...] = ("id",)
) -> str:
    """Return a query of (id, old, expected) over the rows of ``source`` whose link is not the previous row's id.

    ``where`` chooses whole chains; by default, all of them. ``identity``: the columns in place of ``id``.

    The hash comes first in the sort because integers compare fast; the whole key follows, so it is exact
    (`reference/limits.md` 6).
    """
    key, order, found = (", ".join(columns) for columns in (contract.chain_key, contract.chain_order, identity))
    return (
        f"SELECT {found}, old, expected FROM (SELECT {found}, {contract.link} AS old, lag(id) OVER ("
        f"PARTITION BY {key_hash(contract.chain_key)}, {key} ORDER BY {order}) AS expected FROM {source} "
        f"WHERE {where or contract.chained()}) AS linked WHERE old IS DISTINCT FROM expected"
    )


def new_links(contract: Contract, schema: Schema, identity: tuple[str, ...] = ("id",)) -> str:
    """Return a query of (id, value): the links that the backfill would write now.

    ``identity``: the columns in place of ``id``.
    """
    wrong = wrong_links(contract, schema[contract.table], identity=identity)
    return f"SELECT {', '.join(identity)}, expected FROM ({wrong}) AS wrong"


def old_links(contract: Contract, schema: Schema, identity: tuple[str, ...] = ("id",)) -> str:
    """Return a query of (id, value): the links in the journal that `set_back` would write now."""
    names = {"id": "p.id", "tenant": "j.tenant"}
    found, same = ", ".join(names[c] for c in identity), " AND ".join(f"r.{c} = {names[c]}" for c in identity)
    return (
        f"SELECT {found}, p.old FROM {schema[JOURNAL]} AS j, LATERAL ({listed('j.links')}) AS p "
        f"JOIN {schema[contract.table]} AS r ON {same} AND r.{contract.link} IS NOT DISTINCT FROM p.new"
    )


def begin(contract: Contract, schema: Schema, name: str) -> str:
    """Return the statement that records a backfill that has yet to begin, unless one has begun."""
    return record(schema, name, _start(contract, "'rows', 0, "))


def begin_again(contract: Contract, schema: Schema, name: str) -> str:
    """Return the statement that records, before links are set back, that the backfill has to begin again.

    Who stops half way and upgrades gets every link. The number of links in the journal stays.
    """
    return (
        f"UPDATE {schema[STATE]} SET recorded_at = now(), value = value || {_start(contract)} "
        f"WHERE name = '{name}'"
    )


def _start(contract: Contract, rows: str = "") -> str:
    """Return the facts of a cursor before the first possible row: every comparison with it is true."""
    fields = ", ".join(f"'{c}', ''" for c in (*contract.chain_key, "id"))
    cursor = f"jsonb_build_object({fields}, 'retrieved_at', '-infinity')"
    return f"jsonb_build_object('cursor', {cursor}, 'seen', 0, {rows}'done', false, 'started_at', now())"


def gate(contract: Contract, schema: Schema) -> str:
    """Return the statement that fails where rows need a link and the setting `RETROFIT` does not allow it."""
    return f"""DO $aoc$
BEGIN
  IF coalesce(current_setting('{RETROFIT}', true), '') <> 'true'
    AND EXISTS ({wrong_links(contract, schema[contract.table])}) THEN
    RAISE EXCEPTION 'rows of {contract.table} need a supersedes link: SET {RETROFIT} = ''true'' to allow it';
  END IF;
END $aoc$"""


def done(schema: Schema, name: str) -> str:
    """Return the statement that records that the backfill has ended."""
    return (
        f"UPDATE {schema[STATE]} SET value = value || '{{\"done\": true}}', recorded_at = now() "
        f"WHERE name = '{name}'"
    )


def count_links(schema: Schema, name: str, change: str) -> str:
    """Return the statement that adds ``change`` to the number of links that the journal has had from ``name``."""
    rows = f"jsonb_build_object('rows', (value->>'rows')::bigint + ({change}))"
    return f"UPDATE {schema[STATE]} SET recorded_at = now(), value = value || {rows} WHERE name = '{name}'"


def write(contract: Contract, schema: Schema, same: str, table: str = "") -> str:
    """Return the CTEs that write the rows of ``wrong`` and journal them in one row.

    ``same``: the condition that ``t`` is the row of ``w``. ``table``: the one to write to, if not the raw table.
    """
    return f"""written AS (
  UPDATE {table or schema[contract.table]} AS t SET {contract.link} = w.expected FROM wrong AS w
  WHERE {same} AND t.{contract.link} IS NOT DISTINCT FROM w.old
  RETURNING t.id, w.old, w.expected
), journal AS (
  INSERT INTO {schema[JOURNAL]} (links)
  SELECT {gathered("id", "expected", "old")} FROM written HAVING count(*) > 0
)"""


def batch(contract: Contract, schema: Schema, name: str, size: str = "%(size)s") -> str:
    """Return one batch: it reads from the cursor kept under ``name``, writes, journals, and moves the cursor.

    It reads the cursor's own row again, because the first row of the page needs its predecessor. The batch returns
    (seen, written); ``seen`` is less than ``size`` at the end of the table. A row is found again by its ctid, its
    partition by the key. The inner LIMIT bounds ``size`` for a planner that does not know it.
    """
    match = ("id", "ctid", *contract.chain_key)
    same = " AND ".join(f"t.{column} = w.{column}" for column in match)
    columns = [*contract.chain_key, "retrieved_at", "id"]
    listed = ", ".join(columns)
    order = ", ".join((*contract.chain_key, *contract.chain_order))
    key, within = ", ".join(contract.chain_key), ", ".join(contract.chain_order)
    types = {column.name: column.type for column in contract.columns}
    start = ", ".join(f"(SELECT (value->'cursor'->>'{c}')::{types[c]} FROM place)" for c in columns)
    fields = ", ".join(f"'{c}', last.{c}" for c in columns)
    return f"""WITH place AS MATERIALIZED (
  SELECT value FROM {schema[STATE]} WHERE name = '{name}'
), page AS MATERIALIZED (
  SELECT {listed}, ctid, {contract.link} AS old,
    lag(id) OVER (PARTITION BY {key} ORDER BY {within}) AS expected
  FROM (SELECT * FROM (SELECT {listed}, ctid, {contract.link} FROM {schema[contract.table]}
    WHERE ({order}) >= ({start}) AND {contract.chained()}
    ORDER BY {order} LIMIT {MOST + 1}) AS most LIMIT {size} + 1) AS ahead
), wrong AS (
  SELECT {", ".join(match)}, old, expected FROM page
  WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
), {write(contract, schema, same)}, last AS (
  SELECT {listed} FROM page
  ORDER BY {", ".join(f"{c} DESC" for c in (*contract.chain_key, *contract.chain_order))} LIMIT 1
), moved AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'cursor', jsonb_build_object({fields}), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written),
    'seen', (value->>'seen')::bigint + (SELECT count(*) FROM page WHERE id <> value->'cursor'->>'id'))
  FROM last WHERE name = '{name}'
)
SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
  (SELECT count(*) FROM written) AS written FROM page"""


def repair(
    contract: Contract,
    schema: Schema,
    name: str,
    ids: str = "%(ids)s::text[]",
    olds: str = "%(olds)s::text[]",
    expecteds: str = "%(expecteds)s::text[]",
) -> str:
    """Return the statement that repairs the rows of a scan, given as arrays of the columns of `wrong_links`."""
    return f"""WITH wrong AS (
  SELECT * FROM unnest({ids}, {olds}, {expecteds}) AS found (id, old, expected)
), {write(contract, schema, "t.id = w.id")}, counted AS (
  {count_links(schema, name, "SELECT count(*) FROM written")}
)
SELECT cardinality({ids}) AS seen, (SELECT count(*) FROM written) AS written"""


def set_back(contract: Contract, schema: Schema, name: str, size: str = "%(size)s") -> str:
    """Return the statement that sets back the last ``size`` rows of the latest batch, and keeps the rest of it.

    It returns (seen, written, ids of rows that others have changed, which it leaves); ``seen`` is 0 at the end.
    The count under ``name`` goes down with it, so what the journal lacks is known in between. It runs without hash
    and merge joins, where NOT EXISTS would compare every pair of ids; EXCEPT needs no join.
    """
    return f"""WITH latest AS (
  SELECT *, greatest({LINKS} - {size}, 0) AS rest FROM {schema[JOURNAL]} ORDER BY batch DESC LIMIT 1
), ended AS (
  DELETE FROM {schema[JOURNAL]} AS j USING latest AS l WHERE j.batch = l.batch AND l.rest = 0
), shortened AS (
  UPDATE {schema[JOURNAL]} AS j SET links = l.links[:l.rest] FROM latest AS l
  WHERE j.batch = l.batch AND l.rest > 0
), chosen AS MATERIALIZED (
  SELECT c.* FROM latest, LATERAL ({listed("links[rest + 1:]")}) AS c
), written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = c.old FROM chosen AS c
  WHERE t.id = c.id AND t.{contract.link} IS NOT DISTINCT FROM c.new RETURNING t.id
), counted AS (
  {count_links(schema, name, "SELECT -count(*) FROM chosen")}
)
SELECT (SELECT count(*) FROM chosen) AS seen, (SELECT count(*) FROM written) AS written,
  ARRAY(SELECT id FROM chosen EXCEPT SELECT id FROM written ORDER BY id) AS kept"""


def update_triggers(contract: Contract, raw: Relation) -> str:
    """Return a query of the triggers that an UPDATE of the link would fire (tgtype: 16 UPDATE).

    Those on generated columns count as well: PostgreSQL fires them with what the column is made of.
    """
    table = f"to_regclass({raw.literal})"
    parts = f"SELECT relid FROM pg_partition_tree({table})"
    return (
        "SELECT DISTINCT tgname FROM pg_trigger LEFT JOIN pg_attribute ON attrelid = tgrelid "
        f"AND (attname = '{contract.link}' OR attgenerated <> '') "
        f"WHERE (tgrelid = {table} OR tgparentid = 0 AND tgrelid IN ({parts})) "
        "AND NOT tgisinternal AND tgenabled IN ('O', 'A') "
        "AND tgtype & 16 = 16 AND (tgattr::text = '' OR attnum = ANY (tgattr)) ORDER BY tgname"
    )
