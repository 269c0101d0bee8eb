SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0004 -> excititor_0003

COMMIT;

SELECT 'DROP INDEX CONCURRENTLY IF EXISTS vex_raw_idempotency_v1' WHERE EXISTS (SELECT FROM aoc_migration_state WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean)
\gexec

BEGIN;

DELETE FROM aoc_migration_state WHERE name = 'excititor_0004';

UPDATE aoc_alembic_version SET version_num='excititor_0003' WHERE aoc_alembic_version.version_num = 'excititor_0004';

COMMIT;

