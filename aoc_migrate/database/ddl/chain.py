"""The supersedes backfill: batches in key order, each with its journal and its cursor in one statement.

Key order in small transactions lets PostgreSQL update in place (HOT), where one big UPDATE or physical order
would double the table (`reference/limits.md` 5). The old values stay in the journal, so that the downgrade
sets back exactly the rows that were written here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import JOURNAL, STATE
from aoc_migrate.database.ddl.printing import ROWS, emit, migration, needed, online, planned
from aoc_migrate.database.ddl.table import forget, record
from aoc_migrate.database.lock import announce
from aoc_migrate.database.patience import patient
from aoc_migrate.database.progress import Progress
from aoc_migrate.database.session import Row, Session
from aoc_migrate.report.model import Stopped, make

BATCH = 2000
RETROFIT = "aoc.allow_supersedes_retrofit"
_LINK, _SET_BACK = "link rows of {}", "set back links of {}"

CREATE_JOURNAL = f"""CREATE TABLE IF NOT EXISTS {JOURNAL} (
  batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ids text[] NOT NULL, old text[] NOT NULL, new text[] NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now()
)"""


def wrong_links(contract: Contract, where: str = "true") -> str:
    """Return a query of (id, old, expected) over the rows whose link is not the previous row's id.

    The hash comes first in the sort because integers compare fast; the whole key follows, so it is exact
    (`reference/limits.md` 6).
    """
    digest = "0"
    for column in contract.chain_key:
        digest = f"hashtextextended({column}, {digest})"
    key, order = ", ".join(contract.chain_key), ", ".join(contract.chain_order)
    return (
        f"SELECT id, old, expected FROM (SELECT id, {contract.link} AS old, lag(id) OVER ("
        f"PARTITION BY {digest}, {key} ORDER BY {order}) AS expected FROM {contract.table} "
        f"WHERE {where}) AS linked WHERE old IS DISTINCT FROM expected"
    )


def _write(contract: Contract) -> str:
    return f"""written AS (
  UPDATE {contract.table} AS t SET {contract.link} = w.expected FROM wrong AS w
  WHERE t.id = w.id AND t.{contract.link} IS NOT DISTINCT FROM w.old
  RETURNING t.id, w.old, w.expected
), journal AS (
  INSERT INTO {JOURNAL} (ids, old, new)
  SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
  FROM written HAVING count(*) > 0
)"""


def batch(contract: Contract, name: str) -> str:
    """Return one batch: reads on from the cursor kept under ``name``, writes, journals, moves the cursor.

    The cursor's own row is read again, because the first row of the page needs its predecessor. Returns
    (seen, written); ``seen`` is 0 when the end is reached.
    """
    columns = [*contract.chain_key, "retrieved_at", "id"]
    listed = ", ".join(columns)
    order = ", ".join((*contract.chain_key, *contract.chain_order))
    types = {column.name: column.type for column in contract.columns}
    start = ", ".join(f"(SELECT (value->'cursor'->>'{c}')::{types[c]} FROM place)" for c in columns)
    fields = ", ".join(f"'{c}', last.{c}" for c in columns)
    partition = ", ".join(contract.chain_key)
    return f"""WITH place AS MATERIALIZED (
  SELECT value FROM {STATE} WHERE name = '{name}'
), page AS MATERIALIZED (
  SELECT {listed}, {contract.link} AS old,
    lag(id) OVER (PARTITION BY {partition} ORDER BY {", ".join(contract.chain_order)}) AS expected
  FROM (SELECT {listed}, {contract.link} FROM {contract.table}
    WHERE ({order}) >= ({start})
    ORDER BY {order} LIMIT {BATCH + 1}) AS ahead
), wrong AS (
  SELECT id, old, expected FROM page
  WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
), {_write(contract)}, last AS (
  SELECT {listed} FROM page
  ORDER BY {", ".join(f"{c} DESC" for c in (*contract.chain_key, *contract.chain_order))} LIMIT 1
), moved AS (
  UPDATE {STATE} SET recorded_at = now(), value = value || jsonb_build_object(
    'cursor', jsonb_build_object({fields}), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
  FROM last WHERE name = '{name}'
)
SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
  (SELECT count(*) FROM written) AS written FROM page"""


def sweep(contract: Contract, name: str) -> str:
    """Return the statement that mends up to one batch of links anywhere, for rows stored meanwhile."""
    return f"""WITH wrong AS (
  {wrong_links(contract)} LIMIT {BATCH}
), {_write(contract)}, counted AS (
  UPDATE {STATE} SET recorded_at = now(), value = value || jsonb_build_object(
    'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written)) WHERE name = '{name}'
)
SELECT count(*) AS seen, count(*) AS written FROM written"""


def _begin(contract: Contract, name: str) -> str:
    """Keep a cursor before the first possible row: every comparison with it is true."""
    fields = ", ".join(f"'{c}', ''" for c in (*contract.chain_key, "id"))
    cursor = f"jsonb_build_object({fields}, 'retrieved_at', '-infinity')"
    return record(
        name,
        f"jsonb_build_object('cursor', {cursor}, 'rows', 0, 'done', false, 'started_at', now())",
    )


def _done(name: str) -> str:
    return f"UPDATE {STATE} SET value = value || '{{\"done\": true}}', recorded_at = now() WHERE name = '{name}'"


def _gate(contract: Contract) -> str:
    return f"""DO $aoc$
BEGIN
  IF coalesce(current_setting('{RETROFIT}', true), '') <> 'true'
    AND EXISTS ({wrong_links(contract)}) THEN
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


def backfill_links(contract: Contract, revision: str) -> None:
    """Set missing and wrong links, in batches, journaled; goes on where it was interrupted.

    Raises Stopped ``retrofit-not-allowed`` unless the flag allows it or no row needs it, and
    ``step-failed``.
    """
    session = online()
    with migration().autocommit_block():
        if session is None:
            with needed(
                f"NOT EXISTS (SELECT FROM {STATE} WHERE name = '{revision}' AND (value->>'done')::boolean)"
            ):
                emit(CREATE_JOURNAL, _gate(contract), _begin(contract, revision))
                emit(_loop(batch(contract, revision)), _loop(sweep(contract, revision)), _done(revision))
                planned(_LINK.format(contract.table), ROWS)
            return
        state = catalog.state(session, revision)
        if state is not None and state["done"]:
            return
        check_retrofit(session, contract)
        relink(session, contract, revision)


def check_retrofit(session: Session, contract: Contract) -> None:
    """Raise Stopped ``retrofit-not-allowed`` where rows need a new link and the flag does not allow it."""
    if not session.flags.allow_supersedes_retrofit:
        rows = session.value(f"SELECT count(*) FROM ({wrong_links(contract)}) AS wrong")
        if rows:
            raise Stopped(make("retrofit-not-allowed", contract.table, rows=rows))


def relink(session: Session, contract: Contract, name: str) -> int:
    """Link every row anew where it is wrong, with the cursor kept under ``name``; return rows written."""
    session.run(CREATE_JOURNAL)
    session.run(_begin(contract, name))
    with _batches(session, _LINK.format(contract.table), contract.table) as step:
        for statement in (batch(contract, name), sweep(contract, name)):
            _repeat(session, statement, step)
        session.run(_done(name))
    return int(step["rows"])


@contextmanager
def _batches(session: Session, label: str, table: str) -> Iterator[Row]:
    """Note the step as soon as a batch may be written; bound the wait for locked rows by the deadline."""
    step: Row = {"statement": label, "attempts": 1, "rows": 0}
    announce(session, label)
    try:
        with patient(session, table, label):
            yield step
    finally:
        if step["rows"] or step.get("kept"):
            session.steps.append(step)
            if session.on_step and not session.connection.closed:
                session.on_step(None)


def _repeat(session: Session, statement: str, step: Row) -> None:
    progress = Progress(session, "rows looked at")
    while (page := session.row(statement))["seen"]:
        step["rows"] += page["written"]
        progress.add(page["seen"])


def restore_links(contract: Contract, revision: str) -> None:
    """Set back the links that were written here, latest batch first; rows changed since are left alone."""
    session = online()
    with migration().autocommit_block():
        if session is None:
            with needed(f"to_regclass('{JOURNAL}') IS NOT NULL"):
                emit(_loop(restore_batch(contract)))
                planned(_SET_BACK.format(contract.table), ROWS)
            emit(f"DROP TABLE IF EXISTS {JOURNAL}", forget(revision))
            return
        if catalog.kind(session, JOURNAL) is not None:
            _restore(session, contract)
            session.run(f"DROP TABLE {JOURNAL}")
        session.run(forget(revision))


def restore_batch(contract: Contract) -> str:
    """Return the statement that takes back the latest batch; returns (seen, written, kept ids)."""
    return f"""WITH latest AS (
  DELETE FROM {JOURNAL} WHERE batch = (SELECT max(batch) FROM {JOURNAL}) RETURNING ids, old, new
), pairs AS (
  SELECT p.* FROM latest, unnest(ids, old, new) AS p (id, old, new)
), written AS (
  UPDATE {contract.table} AS t SET {contract.link} = p.old FROM pairs AS p
  WHERE t.id = p.id AND t.{contract.link} IS NOT DISTINCT FROM p.new RETURNING t.id
)
SELECT (SELECT count(*) FROM latest) AS seen, (SELECT count(*) FROM written) AS written,
  ARRAY(SELECT id FROM pairs WHERE id NOT IN (SELECT id FROM written) ORDER BY id) AS kept"""


def _restore(session: Session, contract: Contract) -> None:
    with _batches(session, _SET_BACK.format(contract.table), contract.table) as step:
        step |= {"kept": 0, "kept_ids": []}
        progress = Progress(session, "links set back")
        while (page := session.row(restore_batch(contract)))["seen"]:
            progress.add(page["written"])
            step["rows"] += page["written"]
            step["kept"] += len(page["kept"])
            step["kept_ids"] = (step["kept_ids"] + page["kept"])[:200]
