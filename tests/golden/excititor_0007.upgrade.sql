SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade excititor_0006 -> excititor_0007

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE vex_raw IN ACCESS EXCLUSIVE MODE;

ALTER TABLE vex_raw
  ADD CONSTRAINT vex_raw_content_keys_v1 CHECK (coalesce(jsonb_path_match((content || '{}') - ARRAY['format', 'spec_version', 'raw'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID;

DO $aoc$
DECLARE made record;
BEGIN
  FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
    FROM pg_constraint WHERE conrelid = 'vex_raw'::regclass AND conname IN ('vex_raw_content_keys_v1')
  LOOP
    EXECUTE format('COMMENT ON CONSTRAINT %I ON vex_raw IS %L', made.conname, made.signature);
  END LOOP;
END $aoc$;

COMMIT;

ALTER TABLE vex_raw
  VALIDATE CONSTRAINT vex_raw_content_keys_v1;

BEGIN;

UPDATE aoc_alembic_version SET version_num='excititor_0007' WHERE aoc_alembic_version.version_num = 'excititor_0006';

COMMIT;

