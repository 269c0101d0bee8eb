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

DO $aoc$ BEGIN
  PERFORM set_config(name, wanted, false) FROM pg_settings JOIN (VALUES ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'), ('client_min_messages', 'warning'), ('default_transaction_isolation', 'read committed'), ('standard_conforming_strings', 'on'), ('TimeZone', 'UTC'), ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), ('statement_timeout', '0'), ('lock_timeout', '600.0s'), ('row_security', 'off')) AS ours (ours, wanted)
    ON lower(name) = lower(ours);
END $aoc$;
SELECT set_config('search_path', quote_ident(:'schema') || ', pg_temp', false) AS aoc_path,
  set_config('aoc.allow_supersedes_retrofit', (:'retrofit'::boolean)::text, false) AS aoc_retrofit,
  set_config('aoc.accept', :'accept', false) AS aoc_accept, :'release_hold'::boolean AS release_hold \gset

\if :{?remove}
\else
\set remove 0
\endif
\if :{?target}
\else
\set target ''
\endif

SELECT coalesce(nullif(:'target', ''), (SELECT string_agg(target, ' and ') FROM (VALUES ('concelier', 'advisory_raw'), ('excititor', 'vex_raw'))
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

SELECT to_regnamespace(quote_ident(:'schema')) IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(quote_ident(:'schema')), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY['advisory_raw', 'advisory', 'advisory_backup_20251028']) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('advisory_raw') AND relkind = 'p') AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass('aoc_migration_state') IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
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

SELECT to_regclass('aoc_alembic_version') IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM aoc_alembic_version \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS aoc_migration_log (
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
CREATE TABLE IF NOT EXISTS aoc_alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE aoc_migration_log SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO aoc_migration_log (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO aoc_migration_state (name, value) SELECT 'hold', jsonb_build_object(
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_content_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) > 0 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw
        DROP CONSTRAINT IF EXISTS advisory_raw_content_keys_v1;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

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

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS advisory_raw_idempotency_v1' WHERE EXISTS (SELECT FROM aoc_migration_state WHERE name = 'concelier_0004' AND NOT (value->>'index_found')::boolean)
\gexec

DELETE FROM aoc_migration_state WHERE name = 'concelier_0004';

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

SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw
        DROP CONSTRAINT IF EXISTS advisory_raw_not_blank_v1,
        ADD CONSTRAINT advisory_raw_not_blank_v1 CHECK (coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_source_keys_v1,
        ADD CONSTRAINT advisory_raw_source_keys_v1 CHECK (coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_upstream_keys_v1,
        ADD CONSTRAINT advisory_raw_upstream_keys_v1 CHECK (coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_linkset_keys_v1,
        ADD CONSTRAINT advisory_raw_linkset_keys_v1 CHECK (coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_identifiers_keys_v1,
        ADD CONSTRAINT advisory_raw_identifiers_keys_v1 CHECK (coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1', 'advisory_raw_required_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON advisory_raw IS %L', made.conname, made.signature);
        END LOOP;
      END $aoc$;
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, aoc_migration_state
          WHERE attrelid = 'advisory_raw'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'concelier_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE advisory_raw ALTER %I DROP NOT NULL', mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM aoc_migration_state WHERE name = 'concelier_0003';
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1', 'advisory_raw_required_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) > 0 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw
        DROP CONSTRAINT IF EXISTS advisory_raw_not_blank_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_source_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_upstream_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_linkset_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_identifiers_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

\endif

INSERT INTO aoc_migration_state (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', true, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();
UPDATE aoc_migration_log SET outcome = 'done', revision = coalesce((SELECT version_num FROM aoc_alembic_version), 'base'), ended_at = now(), seen_at = now() WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM aoc_alembic_version), 'base')) AS aoc_reason \gset
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

SELECT to_regnamespace(quote_ident(:'schema')) IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(quote_ident(:'schema')), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY['advisory_raw', 'advisory', 'advisory_backup_20251028']) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('advisory_raw') AND relkind = 'p') AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass('aoc_migration_state') IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
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

SELECT to_regclass('aoc_alembic_version') IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM aoc_alembic_version \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'hold') AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  value->>'at', value->>'by', value->>'command') AS aoc_reason FROM aoc_migration_state WHERE name = 'hold' \gset
\warn :aoc_reason
\quit
\endif

SELECT true AS aoc_left \gset
\if :aoc_left
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('advisory_raw') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('advisory_raw') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('advisory_raw')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_not_blank_v1', $p$coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)$p$),
      ('advisory_raw_source_keys_v1', $p$coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('advisory_raw_upstream_keys_v1', $p$coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('advisory_raw_linkset_keys_v1', $p$coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('advisory_raw_identifiers_keys_v1', $p$coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)$p$),
      ('advisory_raw_required_v1', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$),
      ('key-too-long', $p$NOT coalesce(octet_length(tenant) + octet_length(source_vendor) + octet_length(upstream_id) + octet_length(content_hash) + octet_length(id) > 2600, false)$p$)
    ) AS rule (name, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('advisory_raw') AND c.conname = name AND c.convalidated AND coalesce(obj_description(c.oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false))
    AND NOT (name = 'key-too-long' AND EXISTS (SELECT FROM pg_index
      WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1') AND indisvalid));
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM advisory_raw) AS c', counted) INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of advisory_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM advisory_raw ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM advisory_raw WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
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
END $aoc_audit$;

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('advisory_raw') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('advisory_raw') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('advisory_raw')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_content_keys_v1', $p$coalesce(jsonb_path_match((content || '{}') - ARRAY['format', 'spec_version', 'raw'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)$p$)
    ) AS rule (name, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('advisory_raw') AND c.conname = name AND c.convalidated AND coalesce(obj_description(c.oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false))
    AND NOT (name = 'key-too-long' AND EXISTS (SELECT FROM pg_index
      WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1') AND indisvalid));
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM advisory_raw) AS c', counted) INTO counts;
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
END $aoc_audit$;
\endif
CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS aoc_migration_log (
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
CREATE TABLE IF NOT EXISTS aoc_alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE aoc_migration_log SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO aoc_migration_log (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints concelier_0004', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('concelier_0001', '5d388fd6007763dcc5e21cf15a133d3831c33064d45e6df1ae7eb7c8d95c168f', 'concelier_0002', 'f6283ed87472824b39394dcf0c2a31b801652eba9058da2cbcc7300e18c4131d', 'concelier_0003', 'e37257251f2cf50c9980fd55ae24ad6d7c78326495479364715a1293a6c79572', 'concelier_0004', 'c780cb8c5ceb930749dda60bd817117855f85d9bd58933a361b8452efd235bdb', 'concelier_0007', '8922a080bd6fc2312c6f360065c4d42f148b54a629f0fa73c9101476b3068599')
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

CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());

INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;

INSERT INTO aoc_migration_state (name, value) SELECT 'concelier_0001', jsonb_build_object('table_found', to_regclass('advisory_raw') IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('advisory_raw') AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS advisory_raw (
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

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('advisory_raw') AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw ADD COLUMN IF NOT EXISTS supersedes text;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO aoc_alembic_version (version_num) SELECT 'concelier_0001' WHERE NOT EXISTS (SELECT FROM aoc_alembic_version);
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) < 5 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw
        ADD CONSTRAINT advisory_raw_not_blank_v1 CHECK (coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)) NOT VALID,
        ADD CONSTRAINT advisory_raw_source_keys_v1 CHECK (coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT advisory_raw_upstream_keys_v1 CHECK (coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT advisory_raw_linkset_keys_v1 CHECK (coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT advisory_raw_identifiers_keys_v1 CHECK (coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1', 'advisory_raw_required_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON advisory_raw IS %L', made.conname, made.signature);
        END LOOP;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'concelier_0002' WHERE version_num = 'concelier_0001';
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1', 'advisory_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE advisory_raw
  VALIDATE CONSTRAINT advisory_raw_not_blank_v1,
  VALIDATE CONSTRAINT advisory_raw_source_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_upstream_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_linkset_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_identifiers_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('advisory_raw') AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      INSERT INTO aoc_migration_state (name, value) SELECT 'concelier_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = 'advisory_raw'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE advisory_raw ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE advisory_raw DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'concelier_0003' WHERE version_num = 'concelier_0002';
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

INSERT INTO aoc_migration_state (name, value) SELECT 'concelier_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1') AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT 'DROP INDEX CONCURRENTLY advisory_raw_idempotency_v1' WHERE EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1') AND NOT indisvalid)
\gexec

SELECT 'CREATE UNIQUE INDEX CONCURRENTLY advisory_raw_idempotency_v1 ON advisory_raw (tenant, source_vendor, upstream_id, content_hash)' WHERE EXISTS (SELECT WHERE to_regclass('advisory_raw_idempotency_v1') IS NULL)
\gexec

DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('advisory_raw_idempotency_v1')
    AND indrelid = 'advisory_raw'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'advisory_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$;

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'concelier_0004' WHERE version_num = 'concelier_0003';
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_content_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) < 1 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE advisory_raw
        ADD CONSTRAINT advisory_raw_content_keys_v1 CHECK (coalesce(jsonb_path_match((content || '{}') - ARRAY['format', 'spec_version', 'raw'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass AND conname IN ('advisory_raw_content_keys_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON advisory_raw IS %L', made.conname, made.signature);
        END LOOP;
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
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('advisory_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('advisory_raw') AND conname IN ('advisory_raw_content_keys_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE advisory_raw
  VALIDATE CONSTRAINT advisory_raw_content_keys_v1;

\endif

\endif

DELETE FROM aoc_migration_state WHERE name = 'hold';
UPDATE aoc_migration_log SET outcome = 'done', revision = coalesce((SELECT version_num FROM aoc_alembic_version), 'base'), ended_at = now(), seen_at = now() WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM aoc_alembic_version), 'base')) AS aoc_reason \gset
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

SELECT to_regnamespace(quote_ident(:'schema')) IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(quote_ident(:'schema')), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY['vex_raw']) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('vex_raw') AND relkind = 'p') AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass('aoc_migration_state') IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
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

SELECT to_regclass('aoc_alembic_version') IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM aoc_alembic_version \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS aoc_migration_log (
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
CREATE TABLE IF NOT EXISTS aoc_alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE aoc_migration_log SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO aoc_migration_log (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO aoc_migration_state (name, value) SELECT 'hold', jsonb_build_object(
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_content_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) > 0 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw
        DROP CONSTRAINT IF EXISTS vex_raw_content_keys_v1;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

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

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS vex_raw_idempotency_v1' WHERE EXISTS (SELECT FROM aoc_migration_state WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean)
\gexec

DELETE FROM aoc_migration_state WHERE name = 'excititor_0004';

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

SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw
        DROP CONSTRAINT IF EXISTS vex_raw_not_blank_v1,
        ADD CONSTRAINT vex_raw_not_blank_v1 CHECK (coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_source_keys_v1,
        ADD CONSTRAINT vex_raw_source_keys_v1 CHECK (coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_upstream_keys_v1,
        ADD CONSTRAINT vex_raw_upstream_keys_v1 CHECK (coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_linkset_keys_v1,
        ADD CONSTRAINT vex_raw_linkset_keys_v1 CHECK (coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_identifiers_keys_v1,
        ADD CONSTRAINT vex_raw_identifiers_keys_v1 CHECK (coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass AND conname IN ('vex_raw_not_blank_v1', 'vex_raw_source_keys_v1', 'vex_raw_upstream_keys_v1', 'vex_raw_linkset_keys_v1', 'vex_raw_identifiers_keys_v1', 'vex_raw_required_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON vex_raw IS %L', made.conname, made.signature);
        END LOOP;
      END $aoc$;
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, aoc_migration_state
          WHERE attrelid = 'vex_raw'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'excititor_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE vex_raw ALTER %I DROP NOT NULL', mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM aoc_migration_state WHERE name = 'excititor_0003';
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_not_blank_v1', 'vex_raw_source_keys_v1', 'vex_raw_upstream_keys_v1', 'vex_raw_linkset_keys_v1', 'vex_raw_identifiers_keys_v1', 'vex_raw_required_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) > 0 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw
        DROP CONSTRAINT IF EXISTS vex_raw_not_blank_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_source_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_upstream_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_linkset_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_identifiers_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

\endif

INSERT INTO aoc_migration_state (name, value) SELECT 'hold', jsonb_build_object(
  'command', 'constraints --remove', 'revision', nullif(:'aoc_revision', ''), 'by', current_user || '@psql',
  'at', to_char(now(), 'YYYY-MM-DD HH24:MI:SS TZ'), 'finished', true, 'acknowledged', true)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = now();
UPDATE aoc_migration_log SET outcome = 'done', revision = coalesce((SELECT version_num FROM aoc_alembic_version), 'base'), ended_at = now(), seen_at = now() WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM aoc_alembic_version), 'base')) AS aoc_reason \gset
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

SELECT to_regnamespace(quote_ident(:'schema')) IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(quote_ident(:'schema')), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY['vex_raw']) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('vex_raw') AND relkind = 'p') AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regclass('aoc_migration_state') IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
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

SELECT to_regclass('aoc_alembic_version') IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM aoc_alembic_version \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
\if :aoc_state_there
SELECT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'hold') AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  value->>'at', value->>'by', value->>'command') AS aoc_reason FROM aoc_migration_state WHERE name = 'hold' \gset
\warn :aoc_reason
\quit
\endif

SELECT true AS aoc_left \gset
\if :aoc_left
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('vex_raw') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('vex_raw') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('vex_raw')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_not_blank_v1', $p$coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)$p$),
      ('vex_raw_source_keys_v1', $p$coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('vex_raw_upstream_keys_v1', $p$coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('vex_raw_linkset_keys_v1', $p$coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)$p$),
      ('vex_raw_identifiers_keys_v1', $p$coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)$p$),
      ('vex_raw_required_v1', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$),
      ('key-too-long', $p$NOT coalesce(octet_length(tenant) + octet_length(source_vendor) + octet_length(upstream_id) + octet_length(content_hash) + octet_length(id) > 2600, false)$p$)
    ) AS rule (name, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('vex_raw') AND c.conname = name AND c.convalidated AND coalesce(obj_description(c.oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false))
    AND NOT (name = 'key-too-long' AND EXISTS (SELECT FROM pg_index
      WHERE indexrelid = to_regclass('vex_raw_idempotency_v1') AND indisvalid));
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM vex_raw) AS c', counted) INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of vex_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('vex_raw_idempotency_v1') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM vex_raw ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM vex_raw WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
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
END $aoc_audit$;

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; counted text; counts jsonb; found record;
  accepted text[] := string_to_array(current_setting('aoc.accept'), ',');
BEGIN
  IF to_regclass('vex_raw') IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('vex_raw') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('vex_raw')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_content_keys_v1', $p$coalesce(jsonb_path_match((content || '{}') - ARRAY['format', 'spec_version', 'raw'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)$p$)
    ) AS rule (name, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('vex_raw') AND c.conname = name AND c.convalidated AND coalesce(obj_description(c.oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false))
    AND NOT (name = 'key-too-long' AND EXISTS (SELECT FROM pg_index
      WHERE indexrelid = to_regclass('vex_raw_idempotency_v1') AND indisvalid));
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM vex_raw) AS c', counted) INTO counts;
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
END $aoc_audit$;
\endif
CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS aoc_migration_log (
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
CREATE TABLE IF NOT EXISTS aoc_alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num));
UPDATE aoc_migration_log SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO aoc_migration_log (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints excititor_0004', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('excititor_0001', '0b43a4805ac7a0d2e8427c98dd430a5dbfef18424339ab98e18607322f128356', 'excititor_0002', '81450fd6dba41fb2dee0abafb8e844bfabcff77311f203b992f445f80904fa1a', 'excititor_0003', '8c9cd758b15d4c2d30a3ae87cde700c3cec87635be4c9d43685ff53bee717c68', 'excititor_0004', '616d7c231241d73a23b94345b0fee43e37b5ce9f8014c142f72c545c799f0105', 'excititor_0007', '9e83b6f5e482cfc8543bb338251d16eb70010cab0e1bd9f5cd012c98ae3a08fc')
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

CREATE TABLE IF NOT EXISTS aoc_migration_state (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());

INSERT INTO aoc_migration_state (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;

INSERT INTO aoc_migration_state (name, value) SELECT 'excititor_0001', jsonb_build_object('table_found', to_regclass('vex_raw') IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('vex_raw') AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS vex_raw (
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

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('vex_raw') AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw ADD COLUMN IF NOT EXISTS supersedes text;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO aoc_alembic_version (version_num) SELECT 'excititor_0001' WHERE NOT EXISTS (SELECT FROM aoc_alembic_version);
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_not_blank_v1', 'vex_raw_source_keys_v1', 'vex_raw_upstream_keys_v1', 'vex_raw_linkset_keys_v1', 'vex_raw_identifiers_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) < 5 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw
        ADD CONSTRAINT vex_raw_not_blank_v1 CHECK (coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)) NOT VALID,
        ADD CONSTRAINT vex_raw_source_keys_v1 CHECK (coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT vex_raw_upstream_keys_v1 CHECK (coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT vex_raw_linkset_keys_v1 CHECK (coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
        ADD CONSTRAINT vex_raw_identifiers_keys_v1 CHECK (coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass AND conname IN ('vex_raw_not_blank_v1', 'vex_raw_source_keys_v1', 'vex_raw_upstream_keys_v1', 'vex_raw_linkset_keys_v1', 'vex_raw_identifiers_keys_v1', 'vex_raw_required_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON vex_raw IS %L', made.conname, made.signature);
        END LOOP;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'excititor_0002' WHERE version_num = 'excititor_0001';
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_not_blank_v1', 'vex_raw_source_keys_v1', 'vex_raw_upstream_keys_v1', 'vex_raw_linkset_keys_v1', 'vex_raw_identifiers_keys_v1', 'vex_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE vex_raw
  VALIDATE CONSTRAINT vex_raw_not_blank_v1,
  VALIDATE CONSTRAINT vex_raw_source_keys_v1,
  VALIDATE CONSTRAINT vex_raw_upstream_keys_v1,
  VALIDATE CONSTRAINT vex_raw_linkset_keys_v1,
  VALIDATE CONSTRAINT vex_raw_identifiers_keys_v1,
  VALIDATE CONSTRAINT vex_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('vex_raw') AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM aoc_migration_state WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      INSERT INTO aoc_migration_state (name, value) SELECT 'excititor_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = 'vex_raw'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE vex_raw ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE vex_raw DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'excititor_0003' WHERE version_num = 'excititor_0002';
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

INSERT INTO aoc_migration_state (name, value) SELECT 'excititor_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('vex_raw_idempotency_v1') AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT 'DROP INDEX CONCURRENTLY vex_raw_idempotency_v1' WHERE EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('vex_raw_idempotency_v1') AND NOT indisvalid)
\gexec

SELECT 'CREATE UNIQUE INDEX CONCURRENTLY vex_raw_idempotency_v1 ON vex_raw (tenant, source_vendor, upstream_id, content_hash)' WHERE EXISTS (SELECT WHERE to_regclass('vex_raw_idempotency_v1') IS NULL)
\gexec

DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('vex_raw_idempotency_v1')
    AND indrelid = 'vex_raw'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$;

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE aoc_alembic_version SET version_num = 'excititor_0004' WHERE version_num = 'excititor_0003';
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

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_content_keys_v1') AND coalesce(obj_description(oid, 'pg_constraint') = 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex'), false)) < 1 AS aoc_needed \gset
\if :aoc_needed

DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE vex_raw
        ADD CONSTRAINT vex_raw_content_keys_v1 CHECK (coalesce(jsonb_path_match((content || '{}') - ARRAY['format', 'spec_version', 'raw'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID;
      DO $aoc$
      DECLARE made record;
      BEGIN
        FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
          FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass AND conname IN ('vex_raw_content_keys_v1')
        LOOP
          EXECUTE format('COMMENT ON CONSTRAINT %I ON vex_raw IS %L', made.conname, made.signature);
        END LOOP;
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
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('vex_raw') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$;

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('vex_raw') AND conname IN ('vex_raw_content_keys_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE vex_raw
  VALIDATE CONSTRAINT vex_raw_content_keys_v1;

\endif

\endif

DELETE FROM aoc_migration_state WHERE name = 'hold';
UPDATE aoc_migration_log SET outcome = 'done', revision = coalesce((SELECT version_num FROM aoc_alembic_version), 'base'), ended_at = now(), seen_at = now() WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM aoc_alembic_version), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'excititor is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\endif
\endif
