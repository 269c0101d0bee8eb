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

-- Running downgrade excititor_0002 -> excititor_0001

-- ACCESS EXCLUSIVE on vex_raw, for an instant: waits 100 ms at most, and others wait as long.
-- SHARE UPDATE EXCLUSIVE first: no reader or writer waits for it, and an autovacuum yields to it.
SET LOCAL lock_timeout = '5000ms';
LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
SET LOCAL lock_timeout = '100ms';
SET LOCAL statement_timeout = '100ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

-- DROP CONSTRAINT vex_raw_keys_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no row is read.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_keys_v1;

-- DROP CONSTRAINT vex_raw_objects_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no row is read.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_objects_v1;

-- DROP CONSTRAINT vex_raw_required_v1 ON vex_raw: ACCESS EXCLUSIVE on vex_raw for an instant; no row is read.
ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_required_v1;

-- DROP FUNCTION vex_raw_keys_ok_v1 ON vex_raw: takes no lock on your tables; no constraint calls it any more.
DO $aoc$
BEGIN
  IF ((SELECT CASE WHEN NOT (EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"')
    WHERE p.oid = to_regprocedure('"public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)') AND pg_has_role(p.proowner, t.relowner, 'USAGE')
    AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec')) THEN NULL
      WHEN users IS NOT NULL THEN 'something else uses it (' || users || ')'
      WHEN NOT (SELECT pg_has_role(proowner, 'USAGE') FROM pg_proc WHERE oid = to_regprocedure('"public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)'))
        THEN 'we cannot act as the role that owns it' END
    FROM (SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ' ORDER BY classid, objid)
      FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid = to_regprocedure('"public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)')
    ) AS used (users))) IS NULL AND EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"')
    WHERE p.oid = to_regprocedure('"public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)') AND pg_has_role(p.proowner, t.relowner, 'USAGE')
    AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
    DROP FUNCTION IF EXISTS "public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
  END IF;
END $aoc$;

-- DROP FUNCTION vex_raw_objects_ok_v1 ON vex_raw: takes no lock on your tables; no constraint calls it any more.
DO $aoc$
BEGIN
  IF ((SELECT CASE WHEN NOT (EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"')
    WHERE p.oid = to_regprocedure('"public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)') AND pg_has_role(p.proowner, t.relowner, 'USAGE')
    AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9')) THEN NULL
      WHEN users IS NOT NULL THEN 'something else uses it (' || users || ')'
      WHEN NOT (SELECT pg_has_role(proowner, 'USAGE') FROM pg_proc WHERE oid = to_regprocedure('"public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)'))
        THEN 'we cannot act as the role that owns it' END
    FROM (SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ' ORDER BY classid, objid)
      FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid = to_regprocedure('"public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)')
    ) AS used (users))) IS NULL AND EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"')
    WHERE p.oid = to_regprocedure('"public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)') AND pg_has_role(p.proowner, t.relowner, 'USAGE')
    AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
    DROP FUNCTION IF EXISTS "public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
  END IF;
END $aoc$;

UPDATE public.aoc_alembic_version SET version_num='excititor_0001' WHERE public.aoc_alembic_version.version_num = 'excititor_0002';

COMMIT;

