SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0008 -> concelier_0007

SET LOCAL lock_timeout = '5000ms';

DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN SHARE UPDATE EXCLUSIVE MODE;
  END IF;
END $aoc$;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN ACCESS EXCLUSIVE MODE;
  END IF;
END $aoc$;

DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008' AND (value->>'swapped')::boolean) THEN
    DROP VIEW "public"."advisory";
    DROP FUNCTION "public"."aoc_advisory_read_only"();
    ALTER TABLE "public"."advisory_backup_20251028" RENAME TO advisory;
  END IF;
  DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008';
END $aoc$;

UPDATE public.aoc_alembic_version SET version_num='concelier_0007' WHERE public.aoc_alembic_version.version_num = 'concelier_0008';

COMMIT;

