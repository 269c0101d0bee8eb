SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0001 -> 

DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0001';

DELETE FROM public.aoc_alembic_version WHERE public.aoc_alembic_version.version_num = 'concelier_0001';

COMMIT;

