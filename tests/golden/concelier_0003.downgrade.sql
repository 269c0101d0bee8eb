SET search_path TO "public", pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade concelier_0003 -> concelier_0002

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE advisory_raw IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE advisory_raw IN ACCESS EXCLUSIVE MODE;

ALTER TABLE advisory_raw
  DROP CONSTRAINT IF EXISTS advisory_raw_not_blank_v1,
  ADD CONSTRAINT advisory_raw_not_blank_v1 CHECK (coalesce(btrim(id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(tenant, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(source_vendor, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(upstream_id, E' \t\n\r\f\x0B') <> '', true) AND coalesce(btrim(content_hash, E' \t\n\r\f\x0B') <> '', true)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_source_keys_v1,
  ADD CONSTRAINT advisory_raw_source_keys_v1 CHECK (coalesce(jsonb_path_match((source || '{}') - ARRAY['vendor', 'stream', 'api', 'collector_version'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_upstream_keys_v1,
  ADD CONSTRAINT advisory_raw_upstream_keys_v1 CHECK (coalesce(jsonb_path_match((upstream || '{}') - ARRAY['upstream_id', 'document_version', 'content_hash', 'fetched_at', 'signature'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_linkset_keys_v1,
  ADD CONSTRAINT advisory_raw_linkset_keys_v1 CHECK (coalesce(jsonb_path_match((linkset || '{}') - ARRAY['aliases', 'purls', 'cpes', 'references', 'reconciled_from'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_identifiers_keys_v1,
  ADD CONSTRAINT advisory_raw_identifiers_keys_v1 CHECK (coalesce(jsonb_path_match((identifiers || '{}') - ARRAY['cve', 'ghsa', 'aliases'], 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), true)) NOT VALID,
  DROP CONSTRAINT IF EXISTS advisory_raw_required_v1,
  ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;

DO $aoc$
DECLARE made record;
BEGIN
  FOR made IN SELECT conname, 'aoc-migrate sha256:' || encode(sha256(convert_to(regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''), 'UTF8')), 'hex') AS signature
    FROM pg_constraint WHERE conrelid = 'advisory_raw'::regclass AND conname IN ('advisory_raw_not_blank_v1', 'advisory_raw_source_keys_v1', 'advisory_raw_upstream_keys_v1', 'advisory_raw_linkset_keys_v1', 'advisory_raw_identifiers_keys_v1', 'advisory_raw_required_v1')
  LOOP
    EXECUTE format('COMMENT ON CONSTRAINT %I ON advisory_raw IS %L', made.conname, made.signature);
  END LOOP;
END $aoc$;

DO $aoc$
DECLARE mine record;
BEGIN
  FOR mine IN SELECT attname FROM pg_attribute, aoc_migration_state
    WHERE attrelid = 'advisory_raw'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
      AND name = 'concelier_0003' AND NOT value->'not_null' ? attname
  LOOP
    EXECUTE format('ALTER TABLE advisory_raw ALTER %I DROP NOT NULL', mine.attname);
  END LOOP;
END $aoc$;

DELETE FROM aoc_migration_state WHERE name = 'concelier_0003';

UPDATE aoc_alembic_version SET version_num='concelier_0002' WHERE aoc_alembic_version.version_num = 'concelier_0003';

COMMIT;

