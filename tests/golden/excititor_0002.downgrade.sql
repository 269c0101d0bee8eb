SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0002 -> excititor_0001

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;

ALTER TABLE vex_raw
  DROP CONSTRAINT IF EXISTS vex_raw_not_blank_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_source_keys_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_upstream_keys_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_linkset_keys_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_identifiers_keys_v1,
  DROP CONSTRAINT IF EXISTS vex_raw_required_v1;

UPDATE aoc_alembic_version SET version_num='excititor_0001' WHERE aoc_alembic_version.version_num = 'excititor_0002';

COMMIT;

