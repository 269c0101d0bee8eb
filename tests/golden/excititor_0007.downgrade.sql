SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0007 -> excititor_0006

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."vex_raw"
  DROP CONSTRAINT IF EXISTS vex_raw_content_v1;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."vex_raw_content_ok_v1"(jsonb)');
BEGIN
  IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
    DROP FUNCTION "public"."vex_raw_content_ok_v1"(jsonb);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
  RAISE WARNING 'vex_raw_content_ok_v1 is kept: %', SQLERRM;
END $aoc$;

UPDATE public.aoc_alembic_version SET version_num='excititor_0006' WHERE public.aoc_alembic_version.version_num = 'excititor_0007';

COMMIT;

