SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0002 -> concelier_0001

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."advisory_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."advisory_raw"
  DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
BEGIN
  IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
    DROP FUNCTION "public"."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING 'advisory_raw_keys_ok_v1 is kept: %', SQLERRM;
END $aoc$;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
BEGIN
  IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
    DROP FUNCTION "public"."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING 'advisory_raw_objects_ok_v1 is kept: %', SQLERRM;
END $aoc$;

UPDATE public.aoc_alembic_version SET version_num='concelier_0001' WHERE public.aoc_alembic_version.version_num = 'concelier_0002';

COMMIT;

