SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0001 -> 

DELETE FROM "public"."aoc_migration_state" WHERE name = 'excititor_0001';

DELETE FROM public.aoc_alembic_version WHERE public.aoc_alembic_version.version_num = 'excititor_0001';

COMMIT;

