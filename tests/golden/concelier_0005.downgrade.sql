SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0005 -> concelier_0004

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS advisory_raw_chain_v1' WHERE EXISTS (SELECT FROM aoc_migration_state WHERE name = 'concelier_0005' AND NOT (value->>'index_found')::boolean)
\gexec

BEGIN;

DELETE FROM aoc_migration_state WHERE name = 'concelier_0005';

UPDATE aoc_alembic_version SET version_num='concelier_0004' WHERE aoc_alembic_version.version_num = 'concelier_0005';

COMMIT;

