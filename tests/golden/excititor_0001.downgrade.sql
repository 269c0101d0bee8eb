SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0001 -> 

DELETE FROM aoc_migration_state WHERE name = 'excititor_0001';

DELETE FROM aoc_alembic_version WHERE aoc_alembic_version.version_num = 'excititor_0001';

COMMIT;

