SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

DO $aoc$
BEGIN
  IF to_regclass('"public"."aoc_alembic_version"') IS NOT NULL THEN
    IF NOT EXISTS (SELECT FROM "public"."aoc_alembic_version") THEN
      DROP TABLE "public"."aoc_alembic_version";
    END IF;
  END IF;
END $aoc$;

BEGIN;

CREATE TABLE public.aoc_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> excititor_0001

CREATE TABLE IF NOT EXISTS "public"."aoc_migration_state" (name text PRIMARY KEY, value jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'excititor_0001', jsonb_build_object('table_found', to_regclass('"public"."vex_raw"') IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('"public"."vex_raw"') AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS "public"."vex_raw" (
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

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."vex_raw" ADD COLUMN IF NOT EXISTS supersedes text;

INSERT INTO public.aoc_alembic_version (version_num) VALUES ('excititor_0001') RETURNING public.aoc_alembic_version.version_num;

COMMIT;

