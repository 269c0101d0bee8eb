SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade excititor_0005 -> excititor_0006

COMMIT;

CREATE TABLE IF NOT EXISTS "public"."aoc_supersedes_journal" (
  batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ids text[] NOT NULL, old text[] NOT NULL, new text[] NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now()
);

DO $aoc$
BEGIN
  IF coalesce(current_setting('aoc.allow_supersedes_retrofit', true), '') <> 'true'
    AND EXISTS (SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."vex_raw" WHERE true) AS linked WHERE old IS DISTINCT FROM expected) THEN
    RAISE EXCEPTION 'rows of vex_raw need a supersedes link: SET aoc.allow_supersedes_retrofit = ''true'' to allow it';
  END IF;
END $aoc$;

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'excititor_0006', jsonb_build_object('cursor', jsonb_build_object('tenant', '', 'source_vendor', '', 'upstream_id', '', 'id', '', 'retrieved_at', '-infinity'), 'rows', 0, 'done', false, 'started_at', now()) ON CONFLICT (name) DO NOTHING;

DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    WITH place AS MATERIALIZED (
      SELECT value FROM "public"."aoc_migration_state" WHERE name = 'excititor_0006'
    ), page AS MATERIALIZED (
      SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes AS old,
        lag(id) OVER (PARTITION BY tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected
      FROM (SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes FROM "public"."vex_raw"
        WHERE (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C") >= ((SELECT (value->'cursor'->>'tenant')::text FROM place), (SELECT (value->'cursor'->>'source_vendor')::text FROM place), (SELECT (value->'cursor'->>'upstream_id')::text FROM place), (SELECT (value->'cursor'->>'retrieved_at')::timestamptz FROM place), (SELECT (value->'cursor'->>'id')::text FROM place))
        ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" LIMIT 2001) AS ahead
    ), wrong AS (
      SELECT id, old, expected FROM page
      WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
    ), written AS (
      UPDATE "public"."vex_raw" AS t SET supersedes = w.expected FROM wrong AS w
      WHERE t.id = w.id AND t.supersedes IS NOT DISTINCT FROM w.old
      RETURNING t.id, w.old, w.expected
    ), journal AS (
      INSERT INTO "public"."aoc_supersedes_journal" (ids, old, new)
      SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
      FROM written HAVING count(*) > 0
    ), last AS (
      SELECT tenant, source_vendor, upstream_id, retrieved_at, id FROM page
      ORDER BY tenant DESC, source_vendor DESC, upstream_id DESC, retrieved_at DESC, id COLLATE "C" DESC LIMIT 1
    ), moved AS (
      UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object(
        'cursor', jsonb_build_object('tenant', last.tenant, 'source_vendor', last.source_vendor, 'upstream_id', last.upstream_id, 'retrieved_at', last.retrieved_at, 'id', last.id), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
      FROM last WHERE name = 'excititor_0006'
    )
    SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
      (SELECT count(*) FROM written) AS written FROM page INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$;

DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    WITH wrong AS (
      SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."vex_raw" WHERE true) AS linked WHERE old IS DISTINCT FROM expected LIMIT 2000
    ), written AS (
      UPDATE "public"."vex_raw" AS t SET supersedes = w.expected FROM wrong AS w
      WHERE t.id = w.id AND t.supersedes IS NOT DISTINCT FROM w.old
      RETURNING t.id, w.old, w.expected
    ), journal AS (
      INSERT INTO "public"."aoc_supersedes_journal" (ids, old, new)
      SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
      FROM written HAVING count(*) > 0
    ), counted AS (
      UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object(
        'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written)) WHERE name = 'excititor_0006'
    )
    SELECT count(*) AS seen, count(*) AS written FROM written INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$;

UPDATE "public"."aoc_migration_state" SET value = value || '{"done": true}', recorded_at = now() WHERE name = 'excititor_0006';

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='excititor_0006' WHERE public.aoc_alembic_version.version_num = 'excititor_0005';

COMMIT;

