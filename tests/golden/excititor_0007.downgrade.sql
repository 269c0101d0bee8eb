SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0007 -> excititor_0006

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;

ALTER TABLE vex_raw
  DROP CONSTRAINT IF EXISTS vex_raw_content_keys_v1;

UPDATE aoc_alembic_version SET version_num='excititor_0006' WHERE aoc_alembic_version.version_num = 'excititor_0007';

COMMIT;

