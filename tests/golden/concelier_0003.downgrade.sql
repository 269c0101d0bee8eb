SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0003 -> concelier_0002

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."advisory_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."advisory_raw"
  DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
  ADD CONSTRAINT advisory_raw_keys_v1 CHECK ("public"."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
  ADD CONSTRAINT advisory_raw_objects_v1 CHECK ("public"."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_required_v1,
  ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';

COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';

COMMENT ON CONSTRAINT advisory_raw_required_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';

DO $aoc$
DECLARE mine record;
BEGIN
  FOR mine IN SELECT attname FROM pg_attribute, "public"."aoc_migration_state"
    WHERE attrelid = '"public"."advisory_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
      AND name = 'concelier_0003' AND NOT value->'not_null' ? attname
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', '"public"."advisory_raw"'::regclass, mine.attname);
  END LOOP;
END $aoc$;

DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0003';

UPDATE public.aoc_alembic_version SET version_num='concelier_0002' WHERE public.aoc_alembic_version.version_num = 'concelier_0003';

COMMIT;

