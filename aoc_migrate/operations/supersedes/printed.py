"""The backfill and its reversal in psql: procedures in pg_temp that run batch after batch.

A procedure that is called outside a transaction may commit. ``statement_timeout`` set in it never fires, so it
bounds how long a batch *waits*: at most half a second for a row that others have locked. Then it releases its own
rows and tries again, so no writer of another row of that batch waits longer than that.
"""

from collections.abc import Callable

from aoc_migrate.database.relation import Schema
from aoc_migrate.operations.step import Batches, Kind
from aoc_migrate.operations.supersedes.backfill import FOUND, LEAST_SCANS, MOST_SCANS
from aoc_migrate.operations.supersedes.statements import batch, done, repair, set_back, wrong_links

SIZE = 2000  # rows of a batch

HOLDERS = """-- Name the holders of locks on a table.
CREATE OR REPLACE FUNCTION pg_temp.aoc_holders(locked text) RETURNS text LANGUAGE sql AS $$
SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid, a.usename,
  a.application_name, date_trunc('second', now() - a.xact_start)), 'a prepared transaction'), '; '), 'nobody now')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = to_regclass(locked) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;"""
"""The function that names the holders of locks on a table."""


def procedures(deadline: float, guard: str = "") -> str:
    """Return the statements that create the procedures, which need `HOLDERS`.

    A batch gives up after ``deadline`` seconds. ``guard``: a statement that each batch runs first.
    """
    first = f"      {guard};\n" if guard else ""
    return f"""-- Run one batch until it succeeds. Where one of its rows stays locked, release all of them.
CREATE OR REPLACE PROCEDURE pg_temp.aoc_batch(relation text, statement text, ids text[],
  olds text[], expecteds text[], INOUT seen bigint, INOUT written bigint) LANGUAGE plpgsql AS $aoc_body$
DECLARE
  begun timestamptz := clock_timestamp();
  reason text;
BEGIN
  LOOP
    reason := NULL;
    BEGIN
      -- Find rows by key through the indexes, whatever the statistics of a freshly loaded table say.
      -- No batch waits for its commit: a crash loses its rows and its place together. The last update waits.
      PERFORM set_config(name, value, true) FROM (VALUES ('lock_timeout', '500ms'), ('enable_seqscan', 'off'),
        ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),
        ('synchronous_commit', 'off')) AS settings (name, value);
{first}      EXECUTE statement INTO seen, written USING {SIZE}, ids, olds, expecteds;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      reason := SQLERRM;
    END;
    COMMIT;
    EXIT WHEN reason IS NULL;
    IF clock_timestamp() - begun > interval '{deadline} s' THEN
      RAISE EXCEPTION '%: gave up (%). Locked by %. Run the script again to resume.', relation, reason,
        pg_temp.aoc_holders(relation);
    END IF;
    PERFORM pg_sleep(0.05 + random() / 4);
  END LOOP;
END $aoc_body$;

-- Read the table once in key order; then scan for wrong links that others have stored since, and repair them
-- until a scan finds none, or too many scans have found some.
CREATE OR REPLACE PROCEDURE pg_temp.aoc_link(relation text, walk text, scan text, repair text)
LANGUAGE plpgsql AS $aoc_body$
DECLARE
  begun timestamptz;
  scans int := 0;
  whole int := {MOST_SCANS} + (SELECT greatest(reltuples, 0) / {FOUND} FROM pg_class
    WHERE oid = relation::regclass);
  ids text[]; olds text[]; expecteds text[];
  seen bigint; written bigint; repaired bigint;
BEGIN
  LOOP
    CALL pg_temp.aoc_batch(relation, walk, NULL, NULL, NULL, seen, written);
    EXIT WHEN seen < {SIZE};
  END LOOP;
  begun := clock_timestamp();
  WHILE whole > 0 AND (scans < {LEAST_SCANS}
      OR scans < {MOST_SCANS} AND clock_timestamp() - begun < interval '{deadline} s') LOOP
    EXECUTE format('SELECT array_agg(id), array_agg(old), array_agg(expected) '
      'FROM (%s LIMIT {FOUND}) AS wrong', scan) INTO ids, olds, expecteds;
    COMMIT;
    IF ids IS NULL THEN
      RETURN;
    END IF;
    repaired := 0;
    FOR place IN 1..cardinality(ids) BY {SIZE} LOOP
      CALL pg_temp.aoc_batch(relation, repair, ids[place:place + {SIZE - 1}], olds[place:place + {SIZE - 1}],
        expecteds[place:place + {SIZE - 1}], seen, written);
      repaired := repaired + written;
    END LOOP;
    IF cardinality(ids) < {FOUND} OR repaired = 0 THEN
      scans := scans + 1;
    ELSE
      whole := whole - 1;
    END IF;
  END LOOP;
  RAISE WARNING '%: rows with wrong links keep coming; aoc-migrate verify names what is left', relation;
END $aoc_body$;

-- Set back the links that the journal holds, the latest batch first; rows that others changed since stay so.
CREATE OR REPLACE PROCEDURE pg_temp.aoc_set_back(relation text, statement text) LANGUAGE plpgsql AS $aoc_body$
DECLARE seen bigint; written bigint; kept bigint := 0;
BEGIN
  LOOP
    CALL pg_temp.aoc_batch(relation, statement, NULL, NULL, NULL, seen, written);
    EXIT WHEN seen = 0;
    kept := kept + seen - written;
  END LOOP;
  IF kept > 0 THEN
    RAISE WARNING '%: % links stay as they are: others have changed or deleted their rows since, or moved them to '
      'quarantine', relation, kept;
  END IF;
END $aoc_body$;"""


def call(step: Batches, quote: Callable[[str], str] = lambda text: f"$aoc${text}$aoc$") -> str:
    """Return the statement that runs the batches of a Step; ``quote`` turns an SQL text into an expression."""
    contract, schema = step.contract, Schema(step.relation.schema)
    relation = quote(str(step.relation))
    if step.kind is Kind.SET_BACK:
        return (
            f"CALL pg_temp.aoc_set_back({relation},\n{quote(set_back(contract, schema, step.name, size='$1'))});"
        )
    walk = batch(contract, schema, step.name, size="$1")
    scan = wrong_links(contract, step.relation)
    repairing = repair(contract, schema, step.name, "$2", "$3", "$4")
    texts = ",\n".join(quote(text) for text in (walk, scan, repairing))
    return f"CALL pg_temp.aoc_link({relation},\n{texts});"


def after(step: Batches) -> str:
    """Return the statement after the batches of a Step: it records that the backfill has ended."""
    return done(Schema(step.relation.schema), step.name) if step.kind is Kind.LINK else ""
