"""The backfill's revision and its downgrade: printed as SQL here, online by `operations/supersedes`."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.books import JOURNAL, STATE, create_books
from aoc_migrate.database.ddl.printing import ROWS, emit, migration, needed, online, planned, schema
from aoc_migrate.database.relation import Schema
from aoc_migrate.database.state import forget
from aoc_migrate.operations.supersedes.backfill import LINK, backfill
from aoc_migrate.operations.supersedes.restore import SET_BACK, restore
from aoc_migrate.operations.supersedes.statements import RETROFIT, begin, done, wrong_links

BATCH = 2000  # rows


def backfill_links(contract: Contract, revision: str) -> None:
    """Set missing and wrong links, in batches, journaled; goes on where it was interrupted.

    Raises Stopped ``retrofit-not-allowed`` unless the flag allows it or no row needs it, ``cancelled``, and
    ``step-failed``.
    """
    session, at = online(), schema()
    with migration().autocommit_block():
        if session is not None:
            backfill(session, contract, revision)
            return
        with needed(
            f"NOT EXISTS (SELECT FROM {at[STATE]} WHERE name = '{revision}' AND (value->>'done')::boolean)"
        ):
            emit(create_books(at, JOURNAL), _gate(contract, at), begin(contract, at, revision))
            emit(_loop(_batch(contract, at, revision)), _loop(_sweep(contract, at, revision)), done(at, revision))
            planned(LINK.format(contract.table), ROWS)


def restore_links(contract: Contract, revision: str) -> None:
    """Set back the links that were written here, latest batch first; rows changed since are left alone.

    Raises Stopped ``foreign-code`` or ``needs-search-path``.
    """
    session, journal = online(), schema()[JOURNAL]
    with migration().autocommit_block():
        if session is not None:
            restore(session, contract, revision)
            return
        with needed(f"to_regclass({journal.literal}) IS NOT NULL"):
            emit(_loop(_restore_batch(contract, schema())))
            planned(SET_BACK.format(contract.table), ROWS)
        emit(f"DROP TABLE IF EXISTS {journal}", forget(schema(), revision))


def _gate(contract: Contract, at: Schema) -> str:
    return f"""DO $aoc$
BEGIN
  IF coalesce(current_setting('{RETROFIT}', true), '') <> 'true'
    AND EXISTS ({wrong_links(contract, at[contract.table])}) THEN
    RAISE EXCEPTION 'rows of {contract.table} need a supersedes link: SET {RETROFIT} = ''true'' to allow it';
  END IF;
END $aoc$"""


def _loop(statement: str) -> str:
    return f"""DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    {statement.replace(chr(10), chr(10) + "    ")} INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$"""


def _write(contract: Contract, schema: Schema) -> str:
    return f"""written AS (
  UPDATE {schema[contract.table]} AS t SET {contract.link} = w.expected FROM wrong AS w
  WHERE t.id = w.id AND t.{contract.link} IS NOT DISTINCT FROM w.old
  RETURNING t.id, w.old, w.expected
), journal AS (
  INSERT INTO {schema[JOURNAL]} (ids, old, new)
  SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
  FROM written HAVING count(*) > 0
)"""


def _batch(contract: Contract, schema: Schema, name: str) -> str:
    columns = [*contract.chain_key, "retrieved_at", "id"]
    listed = ", ".join(columns)
    order = ", ".join((*contract.chain_key, *contract.chain_order))
    types = {column.name: column.type for column in contract.columns}
    start = ", ".join(f"(SELECT (value->'cursor'->>'{c}')::{types[c]} FROM place)" for c in columns)
    fields = ", ".join(f"'{c}', last.{c}" for c in columns)
    partition = ", ".join(contract.chain_key)
    ahead = f"""SELECT {listed}, {contract.link} FROM {schema[contract.table]}
    WHERE ({order}) >= ({start})
    ORDER BY {order} LIMIT {BATCH + 1}"""
    return f"""WITH place AS MATERIALIZED (
  SELECT value FROM {schema[STATE]} WHERE name = '{name}'
), page AS MATERIALIZED (
  SELECT {listed}, {contract.link} AS old,
    lag(id) OVER (PARTITION BY {partition} ORDER BY {", ".join(contract.chain_order)}) AS expected
  FROM ({ahead}) AS ahead
), wrong AS (
  SELECT id, old, expected FROM page
  WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
), {_write(contract, schema)}, last AS (
  SELECT {listed} FROM page
  ORDER BY {", ".join(f"{c} DESC" for c in (*contract.chain_key, *contract.chain_order))} LIMIT 1
), moved AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'cursor', jsonb_build_object({fields}), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
  FROM last WHERE name = '{name}'
)
SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
  (SELECT count(*) FROM written) AS written FROM page"""


def _sweep(contract: Contract, schema: Schema, name: str) -> str:
    return f"""WITH wrong AS (
  {wrong_links(contract, schema[contract.table])} LIMIT {BATCH}
), {_write(contract, schema)}, {_counted(schema, name)}
SELECT count(*) AS seen, count(*) AS written FROM written"""


def _counted(schema: Schema, name: str) -> str:
    return f"""counted AS (
  UPDATE {schema[STATE]} SET recorded_at = now(), value = value || jsonb_build_object(
    'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written)) WHERE name = '{name}'
)"""


def _restore_batch(contract: Contract, schema: Schema) -> str:
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
