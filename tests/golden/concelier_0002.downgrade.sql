SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0002 -> concelier_0001

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;

ALTER TABLE advisory_raw
  DROP CONSTRAINT IF EXISTS advisory_raw_not_blank_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_source_keys_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_upstream_keys_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_linkset_keys_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_identifiers_keys_v1,
  DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;

UPDATE aoc_alembic_version SET version_num='concelier_0001' WHERE aoc_alembic_version.version_num = 'concelier_0002';

COMMIT;

