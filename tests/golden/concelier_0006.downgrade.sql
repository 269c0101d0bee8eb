SET search_path = pg_catalog, pg_temp;
DO $aoc$ BEGIN
  PERFORM set_config(coalesce(name, ours), wanted, false) FROM (VALUES
    ('exit_on_error', 'off'), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '5s'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('client_min_messages', 'warning'), ('log_parameter_max_length_on_error', '0'), ('check_function_bodies', 'on'),
    ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'), ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'), ('row_security', 'off'), ('restrict_nonsystem_relation_kind', ''),
    ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off'), ('jit', 'off'),
    ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'),
    ('array_nulls', 'on'), ('xmloption', 'content'), ('quote_all_identifiers', 'off'),
    ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('xmlbinary', 'base64')
  ) AS ours (ours, wanted) LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.';
END $aoc$;

DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' has one of our names, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
WITH wanted (name, place, columns, exact) AS (
  VALUES ('aoc_alembic_version', '"public"."aoc_alembic_version"', ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', '"public"."aoc_migration_hold"', ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', '"public"."aoc_migration_state"', ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', '"public"."aoc_migration_log"', ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'ticket text', 'plan text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'progress jsonb', 'steps jsonb', 'checksums jsonb', 'controls jsonb']::text[], true), ('aoc_supersedes_journal', '"public"."aoc_supersedes_journal"', ARRAY['batch bigint', 'links text[]', 'tenant text', 'written_at timestamp with time zone']::text[], true)
) SELECT name, flaw, remedy FROM wanted AS w JOIN pg_class c ON c.oid = to_regclass(place) CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('"public"."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
      THEN 'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner))
    WHEN NOT (w.columns <@ found.columns AND (found.columns <@ w.columns OR NOT w.exact))
      THEN 'it has other columns' END AS wrong, CASE
    WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) THEN 'it has a trigger'
    WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has a rule'
    WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
      THEN 'it has row-level security'
    WHEN EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'it has a parent or a child'
    WHEN EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid) THEN 'a foreign key refers to it' END AS added
  FROM (SELECT coalesce(array_agg(attname || ' ' || format_type(atttypid, atttypmod)), '{}') AS columns
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS found
) AS judged CROSS JOIN LATERAL (SELECT coalesce(wrong, added) AS flaw,
  CASE WHEN wrong IS NULL THEN 'Drop that, and keep the table.' ELSE 'Rename or drop it, as its owner or as a superuser.' END AS remedy) AS said
WHERE flaw IS NOT NULL
UNION ALL SELECT name, 'a type has it', 'Rename or drop it, as its owner or as a superuser.'
FROM wanted JOIN pg_type t ON t.oid = to_regtype(place) WHERE t.typrelid = 0
UNION ALL SELECT 'aoc_alembic_version_pkc', 'it does not belong to ' || name, 'Rename or drop it, as its owner or as a superuser.'
FROM wanted JOIN pg_class k ON k.oid = to_regclass(left(place, -1) || '_pkc"') WHERE name = 'aoc_alembic_version'
  AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = k.oid AND indrelid = to_regclass(place))) AS foreign_objects);
BEGIN
  IF found IS NOT NULL THEN
    RAISE EXCEPTION '%', found;
  END IF;
END $aoc$;

DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('"public"."advisory_raw"') AND relkind = 'p')
    OR EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger') AND tgrelid = to_regclass('"public"."advisory_raw"')) THEN
    RAISE EXCEPTION '%', 'advisory_raw is partitioned, or Citus manages it: run alembic without --sql, or aoc-migrate';
  END IF;
END $aoc$;

-- Running downgrade concelier_0006 -> concelier_0005

-- set back links of advisory_raw: locks the rows of one batch at a time; from the journal, the latest batch first.
UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object('cursor', jsonb_build_object('tenant', '', 'source_vendor', '', 'upstream_id', '', 'id', '', 'retrieved_at', '-infinity'), 'seen', 0, 'done', false, 'started_at', now()) WHERE name = 'concelier_0006';

-- Name the holders of locks on a table.
CREATE OR REPLACE FUNCTION pg_temp.aoc_holders(locked text) RETURNS text LANGUAGE sql AS $$
SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid, a.usename,
  a.application_name, date_trunc('second', now() - a.xact_start)), 'a prepared transaction'), '; '), 'nobody now')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = to_regclass(locked) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;

-- Run one batch until it succeeds. Where one of its rows stays locked, release all of them.
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
      EXECUTE statement INTO seen, written USING 2000, ids, olds, expecteds;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      reason := SQLERRM;
    END;
    COMMIT;
    EXIT WHEN reason IS NULL;
    IF clock_timestamp() - begun > interval '600.0 s' THEN
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
  whole int := 20 + (SELECT greatest(reltuples, 0) / 50000 FROM pg_class
    WHERE oid = relation::regclass);
  ids text[]; olds text[]; expecteds text[];
  seen bigint; written bigint; repaired bigint;
BEGIN
  LOOP
    CALL pg_temp.aoc_batch(relation, walk, NULL, NULL, NULL, seen, written);
    EXIT WHEN seen < 2000;
  END LOOP;
  begun := clock_timestamp();
  WHILE whole > 0 AND (scans < 3
      OR scans < 20 AND clock_timestamp() - begun < interval '600.0 s') LOOP
    EXECUTE format('SELECT array_agg(id), array_agg(old), array_agg(expected) '
      'FROM (%s LIMIT 50000) AS wrong', scan) INTO ids, olds, expecteds;
    COMMIT;
    IF ids IS NULL THEN
      RETURN;
    END IF;
    repaired := 0;
    FOR place IN 1..cardinality(ids) BY 2000 LOOP
      CALL pg_temp.aoc_batch(relation, repair, ids[place:place + 1999], olds[place:place + 1999],
        expecteds[place:place + 1999], seen, written);
      repaired := repaired + written;
    END LOOP;
    IF cardinality(ids) < 50000 OR repaired = 0 THEN
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
END $aoc_body$;

CALL pg_temp.aoc_set_back($aoc$"public"."advisory_raw"$aoc$,
$aoc$WITH latest AS (
  SELECT *, greatest(coalesce(array_length(links, 1), 0) - $1, 0) AS rest FROM "public"."aoc_supersedes_journal" ORDER BY batch DESC LIMIT 1
), ended AS (
  DELETE FROM "public"."aoc_supersedes_journal" AS j USING latest AS l WHERE j.batch = l.batch AND l.rest = 0
), shortened AS (
  UPDATE "public"."aoc_supersedes_journal" AS j SET links = l.links[:l.rest] FROM latest AS l
  WHERE j.batch = l.batch AND l.rest > 0
), chosen AS MATERIALIZED (
  SELECT c.* FROM latest, LATERAL (SELECT id, new, old FROM (SELECT n, text AS id, lead(text) OVER triple AS new, lead(text, 2) OVER triple AS old FROM unnest(links[rest + 1:]) WITH ORDINALITY AS listed (text, n) WINDOW triple AS (ORDER BY n)) AS triples WHERE mod(n, 3) = 1) AS c
), written AS (
  UPDATE "public"."advisory_raw" AS t SET supersedes = c.old FROM chosen AS c
  WHERE t.id = c.id AND t.supersedes IS NOT DISTINCT FROM c.new RETURNING t.id
), counted AS (
  UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object('rows', (value->>'rows')::bigint + (SELECT -count(*) FROM chosen)) WHERE name = 'concelier_0006'
)
SELECT (SELECT count(*) FROM chosen) AS seen, (SELECT count(*) FROM written) AS written,
  ARRAY(SELECT id FROM chosen EXCEPT SELECT id FROM written ORDER BY id) AS kept$aoc$);

BEGIN;

-- DROP TABLE aoc_supersedes_journal: takes no lock on your tables; a table of our own; no raw row is in it.
DROP TABLE IF EXISTS "public"."aoc_supersedes_journal";

-- forget concelier_0006 ON aoc_migration_state: takes no lock on your tables; what was recorded for the downgrade, which is done.
DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0006';

-- forget chain ON aoc_migration_state: takes no lock on your tables; what was recorded for the downgrade, which is done.
DELETE FROM "public"."aoc_migration_state" WHERE name = 'chain';

UPDATE public.aoc_alembic_version SET version_num='concelier_0005' WHERE public.aoc_alembic_version.version_num = 'concelier_0006';

COMMIT;

