SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0005 -> concelier_0004

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS "public"."advisory_raw_chain_v1"' WHERE EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0005' AND NOT (value->>'index_found')::boolean)
\gexec

BEGIN;

DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0005';

UPDATE public.aoc_alembic_version SET version_num='concelier_0004' WHERE public.aoc_alembic_version.version_num = 'concelier_0005';

COMMIT;

