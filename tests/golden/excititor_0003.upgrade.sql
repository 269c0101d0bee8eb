SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade excititor_0002 -> excititor_0003

COMMIT;

ALTER TABLE "public"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_keys_v1,
  VALIDATE CONSTRAINT vex_raw_objects_v1,
  VALIDATE CONSTRAINT vex_raw_required_v1;

BEGIN;

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'excititor_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '"public"."vex_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;

ALTER TABLE "public"."vex_raw" ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;

ALTER TABLE "public"."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_required_v1;

UPDATE public.aoc_alembic_version SET version_num='excititor_0003' WHERE public.aoc_alembic_version.version_num = 'excititor_0002';

COMMIT;

