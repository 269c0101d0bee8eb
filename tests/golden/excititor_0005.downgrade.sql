SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0005 -> excititor_0004

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS vex_raw_chain_v1' WHERE EXISTS (SELECT FROM aoc_migration_state WHERE name = 'excititor_0005' AND NOT (value->>'index_found')::boolean)
\gexec

BEGIN;

DELETE FROM aoc_migration_state WHERE name = 'excititor_0005';

UPDATE aoc_alembic_version SET version_num='excititor_0004' WHERE aoc_alembic_version.version_num = 'excititor_0005';

COMMIT;

