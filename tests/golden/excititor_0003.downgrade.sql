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
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('"public"."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('"public"."vex_raw"') AND relkind = 'p')
    OR EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger') AND tgrelid = to_regclass('"public"."vex_raw"')) THEN
    RAISE EXCEPTION '%', 'vex_raw is partitioned, or Citus manages it: run alembic without --sql, or aoc-migrate';
  END IF;
END $aoc$;

BEGIN;

-- Running downgrade excititor_0003 -> excititor_0002

-- ACCESS EXCLUSIVE on vex_raw, for an instant: waits 100 ms at most, and others wait as long.
-- SHARE UPDATE EXCLUSIVE first: no reader or writer waits for it, and an autovacuum yields to it.
SET LOCAL lock_timeout = '5000ms';
LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '100ms';
SET LOCAL statement_timeout = '100ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

-- ADD CONSTRAINT NOT VALID vex_raw_keys_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no statement makes a constraint unproven: it is dropped and added at once.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_keys_v1;
ALTER TABLE "public"."vex_raw" ADD CONSTRAINT vex_raw_keys_v1 CHECK ("public"."vex_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID;
COMMENT ON CONSTRAINT vex_raw_keys_v1 ON "public"."vex_raw" IS 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8';

-- ADD CONSTRAINT NOT VALID vex_raw_objects_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no statement makes a constraint unproven: it is dropped and added at once.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_objects_v1;
ALTER TABLE "public"."vex_raw" ADD CONSTRAINT vex_raw_objects_v1 CHECK ("public"."vex_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID;
COMMENT ON CONSTRAINT vex_raw_objects_v1 ON "public"."vex_raw" IS 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f';

-- ADD CONSTRAINT NOT VALID vex_raw_required_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no statement makes a constraint unproven: it is dropped and added at once.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
ALTER TABLE "public"."vex_raw" ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
COMMENT ON CONSTRAINT vex_raw_required_v1 ON "public"."vex_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';

-- Stop if NOT NULL of columns of vex_raw is used by others.
DO $aoc$
DECLARE reason text := (SELECT string_agg(format('%I is in the %s %s of %s', attname,
      CASE WHEN indisprimary THEN 'primary key' ELSE 'replica identity' END, indexrelid::regclass,
      indrelid::regclass), '; ' ORDER BY indrelid, attnum, indexrelid)
  FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    LEFT JOIN pg_constraint c ON conrelid = attrelid AND conkey[1] = attnum AND contype = 'n'
  WHERE (indisprimary OR indisreplident) AND attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0003' AND NOT value->'not_null' ? attname::text) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated) AND (indrelid = to_regclass('"public"."vex_raw"') OR indrelid IN (
    SELECT relid FROM pg_partition_tree(to_regclass('"public"."vex_raw"'))) AND conislocal IS NOT TRUE
      AND NOT ((c.oid IS NOT NULL OR NOT indisprimary) AND EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0003' AND EXISTS (SELECT FROM jsonb_array_elements(value->'own_not_null') AS own (own), pg_partition_ancestors(indrelid) AS c (oid) JOIN pg_class r ON r.oid = c.oid JOIN pg_namespace n ON n.oid = relnamespace WHERE own->3 ? attname::text AND CASE WHEN value->>'recorded_in' = to_regclass('"public"."aoc_migration_state"')::oid::text AND EXISTS (SELECT FROM pg_class WHERE oid = (own->>2)::oid) THEN r.oid = (own->>2)::oid ELSE own->>0 = n.nspname AND own->>1 = r.relname END)))));
BEGIN
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION 'NOT NULL of columns of vex_raw: %', reason;
  END IF;
END $aoc$;

-- DROP NOT NULL tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; only where this migration had set it.
DO $aoc$
DECLARE parts text := (SELECT string_agg(format('ALTER %I DROP NOT NULL', attname), ', ') FROM pg_attribute
    WHERE attrelid = to_regclass('"public"."vex_raw"') AND attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0003' AND NOT value->'not_null' ? attname::text) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated));
BEGIN
  IF parts IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %s %s', '"public"."vex_raw"', parts);
  END IF;
END $aoc$;

-- ADD NOT NULL NOT VALID tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; only where it was found so; dropped and added at once.
DO $aoc$
DECLARE entry record; identity text := (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = to_regclass('"public"."vex_raw"') AND i.indisreplident);
BEGIN
  FOR entry IN SELECT conname, attname, CASE WHEN connoinherit THEN ' NO INHERIT' END AS alone,
      obj_description(c.oid, 'pg_constraint') AS words
    FROM pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('"public"."vex_raw"') AND convalidated AND EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0003' AND value->'not_valid' ? attname::text)
  LOOP
    IF identity IS NOT NULL THEN
      ALTER TABLE "public"."vex_raw" REPLICA IDENTITY DEFAULT;
    END IF;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I NOT NULL %3$I%4$s NOT VALID',
      '"public"."vex_raw"', entry.conname, entry.attname, entry.alone);
    EXECUTE format('COMMENT ON CONSTRAINT %I ON %s IS %L', entry.conname, '"public"."vex_raw"', entry.words);
    IF identity IS NOT NULL THEN
      EXECUTE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', '"public"."vex_raw"', identity);
    END IF;
  END LOOP;
END $aoc$;

-- forget excititor_0003 ON aoc_migration_state: takes no lock on your tables; what was recorded for the downgrade, which is done.
DELETE FROM "public"."aoc_migration_state" WHERE name = 'excititor_0003';

UPDATE public.aoc_alembic_version SET version_num='excititor_0002' WHERE public.aoc_alembic_version.version_num = 'excititor_0003';

COMMIT;

