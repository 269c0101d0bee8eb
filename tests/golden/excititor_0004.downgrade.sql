SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0004 -> excititor_0003

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS "public"."vex_raw_idempotency_v1"' WHERE EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean)
\gexec

BEGIN;

DELETE FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004';

UPDATE public.aoc_alembic_version SET version_num='excititor_0003' WHERE public.aoc_alembic_version.version_num = 'excititor_0004';

COMMIT;

