SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0001 -> 

DELETE FROM aoc_migration_state WHERE name = 'concelier_0001';

DELETE FROM aoc_alembic_version WHERE aoc_alembic_version.version_num = 'concelier_0001';

COMMIT;

