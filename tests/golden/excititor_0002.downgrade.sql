SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0002 -> excititor_0001

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."vex_raw"
  DROP CONSTRAINT IF EXISTS vex_raw_keys_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_objects_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_required_v1;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
BEGIN
  IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
    DROP FUNCTION "public"."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING 'vex_raw_keys_ok_v1 is kept: %', SQLERRM;
END $aoc$;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
BEGIN
  IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
    DROP FUNCTION "public"."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING 'vex_raw_objects_ok_v1 is kept: %', SQLERRM;
END $aoc$;

UPDATE public.aoc_alembic_version SET version_num='excititor_0001' WHERE public.aoc_alembic_version.version_num = 'excititor_0002';

COMMIT;

