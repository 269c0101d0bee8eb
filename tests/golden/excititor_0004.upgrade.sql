SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade excititor_0003 -> excititor_0004

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'excititor_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"') AND indisvalid)) ON CONFLICT (name) DO NOTHING;

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY "public"."vex_raw_idempotency_v1"' WHERE EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"') AND NOT indisvalid)
\gexec

SELECT 'CREATE UNIQUE INDEX CONCURRENTLY vex_raw_idempotency_v1 ON "public"."vex_raw" (tenant, source_vendor, upstream_id, content_hash)' WHERE EXISTS (SELECT WHERE to_regclass('"public"."vex_raw_idempotency_v1"') IS NULL)
\gexec

DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"')
    AND indrelid = '"public"."vex_raw"'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$;

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='excititor_0004' WHERE public.aoc_alembic_version.version_num = 'excititor_0003';

COMMIT;

