-- AOC constraints of concelier or excititor. Made by aoc-migrate 0.1.0 for PostgreSQL 15 and newer.
--
--   psql -X -d DATABASE -f THIS.sql         or on stdin: psql -X -d DATABASE < THIS.sql
--
-- Constraints and idempotency index: the state of `aoc-migrate upgrade TARGET concelier_0004 or excititor_0004`.
-- The guard of the column content follows the backfill, with the upgrade to head: it would slow it down.
--
--   -v remove=1          take constraints and idempotency index away, and hold there
--   -v target=NAME       concelier or excititor; else it is found by its table (advisory_raw or vex_raw)
--   -v schema=NAME       where the tables are
--   -v release_hold=1    go up although a rollback holds the database
--
-- It commits by itself, so never with psql -1. Interrupted, it goes on when it is run again.
-- Exit code 0: done, nothing to do, or held. 3: refused or failed; stderr says why.

\set ON_ERROR_STOP on
\set QUIET on
\set VERBOSITY terse
\set SHOW_CONTEXT never
\if :{?schema}
\else
\set schema 'public'
\endif
\if :{?retrofit}
\else
\set retrofit 0
\endif
\if :{?release_hold}
\else
\set release_hold 0
\endif
\if :{?accept}
\else
\set accept ''
\endif

SET search_path = pg_catalog, pg_temp;
SELECT quote_ident(:'schema') AS aoc_schema \gset
DO $aoc$ BEGIN
  PERFORM set_config(name, wanted, false) FROM pg_settings JOIN (VALUES ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'), ('client_min_messages', 'warning'), ('default_transaction_isolation', 'read committed'), ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on'), ('TimeZone', 'UTC'), ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), ('statement_timeout', '0'), ('lock_timeout', '600.0s'), ('row_security', 'off')) AS ours (ours, wanted)
    ON lower(name) = lower(ours);
END $aoc$;
SELECT set_config('aoc.allow_supersedes_retrofit', (:'retrofit'::boolean)::text, false) AS aoc_retrofit,
  set_config('aoc.accept', :'accept', false) AS aoc_accept, :'release_hold'::boolean AS release_hold \gset
SELECT EXISTS (SELECT FROM unnest(string_to_array(:'accept', ',')) AS given WHERE given !~ '^(update-trigger|needs-search-path|swap-conflict|move-trigger):.*[^ ]') AS aoc_refused,
  set_config('aoc.reason', coalesce('accept is SLUG:OBJECT, several with a comma between them; a slug is one of update-trigger, needs-search-path, swap-conflict, move-trigger', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\if :{?remove}
\else
\set remove 0
\endif
\if :{?target}
\else
\set target ''
\endif

SELECT coalesce(nullif(:'target', ''), (SELECT string_agg(target, ' and ') FROM (VALUES ('concelier', (:'aoc_schema' || '."advisory_raw"')), ('excititor', (:'aoc_schema' || '."vex_raw"')))
  AS known (target, name) WHERE to_regclass(name) IS NOT NULL), 'neither') AS aoc_target,
  :'remove'::boolean AS aoc_remove \gset
SELECT :'aoc_target' NOT IN ('concelier', 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('schema %s of database %s holds the raw table of %s: name one with -v target=NAME', :'schema', current_database(), :'aoc_target'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT :'aoc_target' = 'concelier' AS aoc_this \gset
\if :aoc_this
\if :aoc_remove
SET application_name TO 'aoc-migrate constraints --remove';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."advisory_raw"'), (:'aoc_schema' || '."advisory"'), (:'aoc_schema' || '."advisory_backup_20251028"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for concelier', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/concelier/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock; we waited since %. Run the script again later.', begun;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock';
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_log" (
  run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command text NOT NULL, from_revision text NOT NULL, goal text, revision text,
  role text NOT NULL DEFAULT current_user, host text NOT NULL, image text,
  version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'),
  pid int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz, outcome text, step text,
  findings text[] NOT NULL DEFAULT '{}', steps jsonb NOT NULL DEFAULT '[]',
  checksums jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS :"schema"."aoc_alembic_version" (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', false, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0007 downgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_content_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43') THEN
          DROP FUNCTION <schema>."advisory_raw_content_ok_v1"(jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_content_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 4 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0004 downgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0004' AND NOT (value->>'index_found')::boolean) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY IF EXISTS :"schema"."advisory_raw_idempotency_v1";

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0004';

\endif

SELECT :aoc_position >= 3 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0003 downgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
        ADD CONSTRAINT advisory_raw_keys_v1 CHECK (<schema>."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
        ADD CONSTRAINT advisory_raw_objects_v1 CHECK (<schema>."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';
      COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';
      COMMENT ON CONSTRAINT advisory_raw_required_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, <schema>."aoc_migration_state"
          WHERE attrelid = '<schema>."advisory_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'concelier_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', '<schema>."advisory_raw"'::regclass, mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM <schema>."aoc_migration_state" WHERE name = 'concelier_0003';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 2 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0002 downgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0'), ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6'), ('advisory_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
          DROP FUNCTION <schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_keys_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
          DROP FUNCTION <schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_objects_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', true, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'concelier is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\else
SET application_name TO 'aoc-migrate psql constraints concelier_0004';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."advisory_raw"'), (:'aoc_schema' || '."advisory"'), (:'aoc_schema' || '."advisory_backup_20251028"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for concelier', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/concelier/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock; we waited since %. Run the script again later.', begun;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock';
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'hold') AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  value->>'at', value->>'by', value->>'command') AS aoc_reason FROM :"schema"."aoc_migration_state" WHERE name = 'hold' \gset
\warn :aoc_reason
\quit
\endif

SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('<schema>."advisory_raw"') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."advisory_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0', $p$(coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)$p$),
      ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6', $p$coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$),
      ('advisory_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."advisory_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."advisory_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of advisory_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM <schema>."advisory_raw" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM <schema>."advisory_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT 1) AS d), 0) INTO rows;
    IF rows > 0 THEN
      errors := errors + 1;
      RAISE WARNING '% groups of rows of advisory_raw have one idempotency key (ERR_AOC_003)', rows;
    END IF;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('<schema>."advisory_raw"') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."advisory_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25', $p$coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."advisory_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."advisory_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of advisory_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
\endif
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_log" (
  run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command text NOT NULL, from_revision text NOT NULL, goal text, revision text,
  role text NOT NULL DEFAULT current_user, host text NOT NULL, image text,
  version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'),
  pid int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz, outcome text, step text,
  findings text[] NOT NULL DEFAULT '{}', steps jsonb NOT NULL DEFAULT '[]',
  checksums jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS :"schema"."aoc_alembic_version" (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints concelier_0004', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('concelier_0001', '1a8089c42e4ec3a390510a0a496e60d08ab9d4d9b2306894fad2ccc7426ce074', 'concelier_0002', '521cc32da9e7575440ecdb5bd2941e5886e223f7fb9cc58f442b627913b3917c', 'concelier_0003', '1eff178f33775530aab41c85bcf53127815183068744d2ab9e4195de7a076eec', 'concelier_0004', '875dddd59c8d98e3ea492f9e039cb9f683afc571c41d46f71f48738815a70869', 'concelier_0007', 'fe526eb7a74d59b2a550a18c9a18a91e36b4e6205061818c78a8af818b9d71b2')
  RETURNING run AS aoc_run \gset


SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0001 upgrade: Baseline: the raw table and its supersedes column exist.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0001';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'concelier_0001', jsonb_build_object('table_found', to_regclass((:'aoc_schema' || '."advisory_raw"')) IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS :"schema"."advisory_raw" (
  id text PRIMARY KEY,
  tenant text,
  source_vendor text,
  upstream_id text,
  content_hash text,
  retrieved_at timestamptz,
  source jsonb,
  upstream jsonb,
  linkset jsonb,
  content jsonb,
  identifiers jsonb,
  supersedes text,
  created_at timestamptz DEFAULT now()
);

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw" ADD COLUMN IF NOT EXISTS supersedes text;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO :"schema"."aoc_alembic_version" (version_num) SELECT 'concelier_0001' WHERE NOT EXISTS (SELECT FROM :"schema"."aoc_alembic_version");
\set aoc_position 1
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0002 upgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0'), ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) < 2 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
          RAISE EXCEPTION 'advisory_raw_keys_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
          RAISE EXCEPTION 'advisory_raw_objects_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        ADD CONSTRAINT advisory_raw_keys_v1 CHECK (<schema>."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        ADD CONSTRAINT advisory_raw_objects_v1 CHECK (<schema>."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';
      COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';
      COMMENT ON CONSTRAINT advisory_raw_required_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0002' WHERE version_num = 'concelier_0001';
\set aoc_position 2
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0003 upgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_keys_v1', 'advisory_raw_objects_v1', 'advisory_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."advisory_raw"
  VALIDATE CONSTRAINT advisory_raw_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_objects_v1,
  VALIDATE CONSTRAINT advisory_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT 'concelier_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."advisory_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE <schema>."advisory_raw" ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE <schema>."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0003' WHERE version_num = 'concelier_0002';
\set aoc_position 3
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0004 upgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'concelier_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) AND NOT indisvalid) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY :"schema"."advisory_raw_idempotency_v1";

\endif

SELECT EXISTS (SELECT WHERE to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) IS NULL) AS aoc_needed \gset
\if :aoc_needed

CREATE UNIQUE INDEX CONCURRENTLY advisory_raw_idempotency_v1 ON :"schema"."advisory_raw" (tenant, source_vendor, upstream_id, content_hash);

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"')
    AND indrelid = '<schema>."advisory_raw"'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'advisory_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0004' WHERE version_num = 'concelier_0003';
\set aoc_position 4
\endif
\endif

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0007 upgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) < 1 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_content_ok_v1"(content jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_content_ok_v1"(jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43') THEN
          RAISE EXCEPTION 'advisory_raw_content_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        ADD CONSTRAINT advisory_raw_content_v1 CHECK (<schema>."advisory_raw_content_ok_v1"(content::jsonb)) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_content_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_content_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."advisory_raw"
  VALIDATE CONSTRAINT advisory_raw_content_v1;

\endif

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'hold';
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'concelier is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\endif
\endif

SELECT :'aoc_target' = 'excititor' AS aoc_this \gset
\if :aoc_this
\if :aoc_remove
SET application_name TO 'aoc-migrate constraints --remove';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."vex_raw"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."vex_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for excititor', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/excititor/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock; we waited since %. Run the script again later.', begun;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock';
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_log" (
  run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command text NOT NULL, from_revision text NOT NULL, goal text, revision text,
  role text NOT NULL DEFAULT current_user, host text NOT NULL, image text,
  version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'),
  pid int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz, outcome text, step text,
  findings text[] NOT NULL DEFAULT '{}', steps jsonb NOT NULL DEFAULT '[]',
  checksums jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS :"schema"."aoc_alembic_version" (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', false, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0007 downgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_content_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
          DROP FUNCTION <schema>."vex_raw_content_ok_v1"(jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_content_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 4 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0004 downgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY IF EXISTS :"schema"."vex_raw_idempotency_v1";

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0004';

\endif

SELECT :aoc_position >= 3 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0003 downgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_keys_v1,
        ADD CONSTRAINT vex_raw_keys_v1 CHECK (<schema>."vex_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_objects_v1,
        ADD CONSTRAINT vex_raw_objects_v1 CHECK (<schema>."vex_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_keys_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8';
      COMMENT ON CONSTRAINT vex_raw_objects_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f';
      COMMENT ON CONSTRAINT vex_raw_required_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, <schema>."aoc_migration_state"
          WHERE attrelid = '<schema>."vex_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'excititor_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', '<schema>."vex_raw"'::regclass, mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM <schema>."aoc_migration_state" WHERE name = 'excititor_0003';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 2 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0002 downgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8'), ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f'), ('vex_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_objects_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
          DROP FUNCTION <schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_keys_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
          DROP FUNCTION <schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_objects_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', true, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'excititor is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\else
SET application_name TO 'aoc-migrate psql constraints excititor_0004';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."vex_raw"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."vex_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for excititor', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/excititor/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock; we waited since %. Run the script again later.', begun;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock';
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'hold') AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  value->>'at', value->>'by', value->>'command') AS aoc_reason FROM :"schema"."aoc_migration_state" WHERE name = 'hold' \gset
\warn :aoc_reason
\quit
\endif

SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('<schema>."vex_raw"') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."vex_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8', $p$(coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)$p$),
      ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f', $p$coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$),
      ('vex_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."vex_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."vex_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of vex_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM <schema>."vex_raw" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM <schema>."vex_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT 1) AS d), 0) INTO rows;
    IF rows > 0 THEN
      errors := errors + 1;
      RAISE WARNING '% groups of rows of vex_raw have one idempotency key (ERR_AOC_003)', rows;
    END IF;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('<schema>."vex_raw"') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."vex_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d', $p$coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."vex_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."vex_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of vex_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
\endif
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_log" (
  run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command text NOT NULL, from_revision text NOT NULL, goal text, revision text,
  role text NOT NULL DEFAULT current_user, host text NOT NULL, image text,
  version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'),
  pid int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz, outcome text, step text,
  findings text[] NOT NULL DEFAULT '{}', steps jsonb NOT NULL DEFAULT '[]',
  checksums jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS :"schema"."aoc_alembic_version" (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints excititor_0004', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('excititor_0001', '4d3371f1877d724ebd6dd7d57c447c5c3f8efdb4265836f8a464d7ccfee7183f', 'excititor_0002', '53a2937a0ca8f18e8102008860631666a690c2f5415aa422798547336a5f8961', 'excititor_0003', 'c3bfe73b1b6df17f35722f004ab6a6f2759795df2476b22689ef30430c9538a3', 'excititor_0004', '4e64c6dded768a21c5977545082644bc1ce24c50d66863940ae02ddb89b6754a', 'excititor_0007', '3a5a3ebf10f81c7969ed7aea1d4798ec3990968073023935dd5eb20d3b5d28ce')
  RETURNING run AS aoc_run \gset


SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0001 upgrade: Baseline: the raw table and its supersedes column exist.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0001';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

CREATE TABLE IF NOT EXISTS :"schema"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'excititor_0001', jsonb_build_object('table_found', to_regclass((:'aoc_schema' || '."vex_raw"')) IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS :"schema"."vex_raw" (
  id text PRIMARY KEY,
  tenant text,
  source_vendor text,
  upstream_id text,
  content_hash text,
  retrieved_at timestamptz,
  source jsonb,
  upstream jsonb,
  linkset jsonb,
  content jsonb,
  identifiers jsonb,
  supersedes text,
  created_at timestamptz DEFAULT now()
);

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw" ADD COLUMN IF NOT EXISTS supersedes text;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO :"schema"."aoc_alembic_version" (version_num) SELECT 'excititor_0001' WHERE NOT EXISTS (SELECT FROM :"schema"."aoc_alembic_version");
\set aoc_position 1
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0002 upgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8'), ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) < 2 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
          RAISE EXCEPTION 'vex_raw_keys_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
          RAISE EXCEPTION 'vex_raw_objects_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        ADD CONSTRAINT vex_raw_keys_v1 CHECK (<schema>."vex_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        ADD CONSTRAINT vex_raw_objects_v1 CHECK (<schema>."vex_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_keys_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8';
      COMMENT ON CONSTRAINT vex_raw_objects_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f';
      COMMENT ON CONSTRAINT vex_raw_required_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0002' WHERE version_num = 'excititor_0001';
\set aoc_position 2
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0003 upgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_keys_v1', 'vex_raw_objects_v1', 'vex_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_keys_v1,
  VALIDATE CONSTRAINT vex_raw_objects_v1,
  VALIDATE CONSTRAINT vex_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT 'excititor_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."vex_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE <schema>."vex_raw" ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE <schema>."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0003' WHERE version_num = 'excititor_0002';
\set aoc_position 3
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0004 upgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'excititor_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) AND NOT indisvalid) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY :"schema"."vex_raw_idempotency_v1";

\endif

SELECT EXISTS (SELECT WHERE to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) IS NULL) AS aoc_needed \gset
\if :aoc_needed

CREATE UNIQUE INDEX CONCURRENTLY vex_raw_idempotency_v1 ON :"schema"."vex_raw" (tenant, source_vendor, upstream_id, content_hash);

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"')
    AND indrelid = '<schema>."vex_raw"'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0004' WHERE version_num = 'excititor_0003';
\set aoc_position 4
\endif
\endif

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0007 upgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) < 1 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_content_ok_v1"(content jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_content_ok_v1"(jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
          RAISE EXCEPTION 'vex_raw_content_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        ADD CONSTRAINT vex_raw_content_v1 CHECK (<schema>."vex_raw_content_ok_v1"(content::jsonb)) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_content_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_content_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_content_v1;

\endif

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'hold';
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'excititor is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\endif
\endif
