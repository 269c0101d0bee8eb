SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL search_path = pg_catalog, pg_temp;

SELECT *, count(*) OVER () AS ids, sum(rows) OVER ()::bigint AS total FROM (SELECT id, count(*) AS rows FROM (WITH candidates AS MATERIALIZED (SELECT hashtextextended(id, 0) AS digest FROM "public"."advisory_raw" GROUP BY 1 HAVING count(*) > 1) SELECT id FROM "public"."advisory_raw" WHERE hashtextextended(id, 0) IN (SELECT digest FROM candidates)) AS among GROUP BY id HAVING count(*) > 1) AS shared ORDER BY id COLLATE "C" LIMIT $1;

SELECT count(*) AS rows, count(*) FILTER (WHERE source_vendor IS NULL) AS rule_0, count(*) FILTER (WHERE upstream_id IS NULL) AS rule_1, count(*) FILTER (WHERE content_hash IS NULL) AS rule_2, count(*) FILTER (WHERE retrieved_at IS NULL) AS rule_3, count(*) FILTER (WHERE NOT ((coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false))) AS rule_4, count(*) FILTER (WHERE NOT (coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false))) AS rule_5, count(*) FILTER (WHERE NOT (coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false))) AS rule_6, count(*) FILTER (WHERE coalesce(jsonb_path_exists(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]), 'strict $.keyvalue() ? ((@.key like_regex "^(severity|cvss|cvss[-_]?vector|effective[-_]?status|effective[-_]?range|merged[-_]?from|consensus[-_]?provider|reachability|asset[-_]?criticality|risk[-_]?score)$" flag "i" || @.key like_regex "^(effective|Effective|EFFECTIVE)[-_A-Z]") && !(@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "effective_status" || @.key == "effective_range" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) AS rule_7, count(*) FILTER (WHERE coalesce(jsonb_path_exists(((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]), 'strict $.keyvalue() ? ((@.key like_regex "^(severity|cvss|cvss[-_]?vector|effective[-_]?status|effective[-_]?range|merged[-_]?from|consensus[-_]?provider|reachability|asset[-_]?criticality|risk[-_]?score)$" flag "i" || @.key like_regex "^(effective|Effective|EFFECTIVE)[-_A-Z]") && !(@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "effective_status" || @.key == "effective_range" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) AS rule_8, count(*) FILTER (WHERE coalesce(jsonb_path_exists(((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]), 'strict $.keyvalue() ? ((@.key like_regex "^(severity|cvss|cvss[-_]?vector|effective[-_]?status|effective[-_]?range|merged[-_]?from|consensus[-_]?provider|reachability|asset[-_]?criticality|risk[-_]?score)$" flag "i" || @.key like_regex "^(effective|Effective|EFFECTIVE)[-_A-Z]") && !(@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "effective_status" || @.key == "effective_range" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) AS rule_9, count(*) FILTER (WHERE coalesce(jsonb_path_exists(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.keyvalue() ? ((@.key like_regex "^(severity|cvss|cvss[-_]?vector|effective[-_]?status|effective[-_]?range|merged[-_]?from|consensus[-_]?provider|reachability|asset[-_]?criticality|risk[-_]?score)$" flag "i" || @.key like_regex "^(effective|Effective|EFFECTIVE)[-_A-Z]") && !(@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "effective_status" || @.key == "effective_range" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) AS rule_10, count(*) FILTER (WHERE coalesce(jsonb_path_exists(((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.keyvalue() ? ((@.key like_regex "^(severity|cvss|cvss[-_]?vector|effective[-_]?status|effective[-_]?range|merged[-_]?from|consensus[-_]?provider|reachability|asset[-_]?criticality|risk[-_]?score)$" flag "i" || @.key like_regex "^(effective|Effective|EFFECTIVE)[-_A-Z]") && !(@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "effective_status" || @.key == "effective_range" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))', '{}', true), false)) AS rule_11, count(*) FILTER (WHERE NOT (octet_length(content_hash) = 71 AND starts_with(content_hash COLLATE "C", 'sha256:') AND substr(content_hash, 8) COLLATE "C" !~ '[^0-9a-f]')) AS rule_12, count(*) FILTER (WHERE source->>'vendor' <> source_vendor) AS rule_13, count(*) FILTER (WHERE upstream->>'upstream_id' <> upstream_id) AS rule_14, count(*) FILTER (WHERE upstream->>'content_hash' <> content_hash) AS rule_15 FROM "public"."advisory_raw";

WITH broken AS MATERIALIZED (
  SELECT kind.n, id, CASE kind.n WHEN 1 THEN NULL::text[] END AS keys
  FROM "public"."advisory_raw" CROSS JOIN LATERAL unnest(ARRAY[NOT (octet_length(content_hash) = 71 AND starts_with(content_hash COLLATE "C", 'sha256:') AND substr(content_hash, 8) COLLATE "C" !~ '[^0-9a-f]')]) WITH ORDINALITY AS kind (broken, n)
  WHERE (NOT (octet_length(content_hash) = 71 AND starts_with(content_hash COLLATE "C", 'sha256:') AND substr(content_hash, 8) COLLATE "C" !~ '[^0-9a-f]')) AND kind.broken
)
SELECT n, count(*) AS rows, ARRAY(
  SELECT DISTINCT key FROM broken AS b, unnest(b.keys) AS key WHERE b.n = broken.n ORDER BY key LIMIT 12
) AS keys, (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(s))) FROM (
  SELECT id, keys FROM broken AS b WHERE b.n = broken.n ORDER BY id COLLATE "C" LIMIT $1) AS s
) AS sample FROM broken GROUP BY n ORDER BY n;

WITH candidates AS MATERIALIZED (
  SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest, count(*) AS n FROM "public"."advisory_raw" GROUP BY tenant, hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) HAVING count(*) > 1 OR hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM "public"."advisory_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT nulls, found.* FROM (SELECT coalesce(sum(n), 0)::bigint AS nulls FROM candidates WHERE digest IS NULL) AS lacking LEFT JOIN (
  SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT $1
) AS found ON true ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C";

SET LOCAL citus.enable_local_execution = off;

SELECT count(*) AS rows, avg(pg_column_size(id))::float8 AS id_bytes, avg(8 * ceil((8 + coalesce(pg_column_size(tenant), 0) + coalesce(pg_column_size(source_vendor), 0) + coalesce(pg_column_size(upstream_id), 0) + coalesce(pg_column_size(content_hash), 0)) / 8.0) + 4) AS advisory_raw_idempotency_v1, avg(8 * ceil((8 + coalesce(pg_column_size(tenant), 0) + coalesce(pg_column_size(source_vendor), 0) + coalesce(pg_column_size(upstream_id), 0) + coalesce(pg_column_size(retrieved_at), 0) + coalesce(pg_column_size(id), 0)) / 8.0) + 4) AS advisory_raw_chain_v1 FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid());

EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count((coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)), count(coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)) FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid());

EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count(*) FROM (SELECT tenant, source_vendor, upstream_id, content_hash FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid()) ORDER BY tenant, source_vendor, upstream_id, content_hash OFFSET 0) AS ordered;

EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count(*) FROM (SELECT tenant, source_vendor, upstream_id, retrieved_at, id FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid()) ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" OFFSET 0) AS ordered;

SELECT count(*) AS n FROM (SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."advisory_raw" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL) AS linked WHERE old IS DISTINCT FROM expected) AS wrong;

SELECT coalesce(sum(pg_column_size(content)) FILTER (WHERE pg_column_size(content) > 2000), 0) FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid());

EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count(*) FILTER (WHERE NOT (coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false))) FROM "public"."advisory_raw" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (pg_backend_pid());

SET LOCAL citus.multi_shard_modify_mode TO 'sequential';

LOCK TABLE "public"."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;

LOCK TABLE "public"."advisory_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."advisory_raw" ADD CONSTRAINT advisory_raw_keys_v1 CHECK ("public"."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';

ALTER TABLE "public"."advisory_raw" ADD CONSTRAINT advisory_raw_objects_v1 CHECK ("public"."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';

ALTER TABLE "public"."advisory_raw" ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_required_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';

ALTER TABLE "public"."advisory_raw" VALIDATE CONSTRAINT advisory_raw_keys_v1, VALIDATE CONSTRAINT advisory_raw_objects_v1, VALIDATE CONSTRAINT advisory_raw_required_v1;

DO $aoc$
DECLARE parts text := (SELECT string_agg(format('ALTER %I SET NOT NULL', attname), ', ') FROM pg_attribute
    WHERE attrelid = to_regclass('"public"."advisory_raw"') AND NOT attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}'));
BEGIN
  IF parts IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %s %s', '"public"."advisory_raw"', parts);
  END IF;
END $aoc$;

ALTER TABLE "public"."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;

CREATE UNIQUE INDEX CONCURRENTLY advisory_raw_idempotency_v1 ON "public"."advisory_raw" (tenant, source_vendor, upstream_id, content_hash);

CREATE INDEX CONCURRENTLY advisory_raw_chain_v1 ON "public"."advisory_raw" (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C");

LOCK TABLE "public"."aoc_migration_state", "public"."aoc_supersedes_journal" IN ACCESS SHARE MODE;

LOCK TABLE "public"."aoc_migration_state", "public"."aoc_supersedes_journal", "public"."advisory_raw" IN ROW EXCLUSIVE MODE;

SET LOCAL citus.propagate_set_commands TO 'local'; SET LOCAL enable_seqscan TO off;
SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_hashjoin TO off; SET LOCAL enable_mergejoin TO off;

COPY "public"."advisory_raw" (id) FROM STDIN;

SELECT tenant, source_vendor, upstream_id, retrieved_at::text, id, old, expected FROM (
  SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes AS old, lag(id) OVER (PARTITION BY tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected
  FROM (SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes FROM "public"."advisory_raw"
    WHERE tenant = $1 AND (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C") >= ($1, $2, $3, $4::timestamptz, $5) AND tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL
    ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" LIMIT $6 + 1) AS ahead
) AS linked ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C";

SELECT min(tenant) AS tenant FROM "public"."advisory_raw" WHERE tenant > $1;

WITH wanted AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS w (id, source_vendor, upstream_id, old, new))
UPDATE "public"."advisory_raw" AS t SET supersedes = w.new FROM wanted AS w
WHERE t.tenant = $6 AND t.id = w.id AND t.source_vendor = w.source_vendor AND t.upstream_id = w.upstream_id AND t.supersedes IS NOT DISTINCT FROM w.old RETURNING t.id, w.old, w.new;

INSERT INTO "public"."aoc_supersedes_journal" (tenant, links) VALUES ($1, $2::text[]);

UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object('rows', (value->>'rows')::bigint + ($1::bigint)) WHERE name = 'concelier_0006';

UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object(
  'cursor', jsonb_build_object('tenant', $1::text, 'source_vendor', $2::text, 'upstream_id', $3::text, 'retrieved_at', $4::text, 'id', $5::text), 'seen', (value->>'seen')::bigint + $6::bigint)
WHERE name = 'concelier_0006';

SELECT id, tenant, old, expected FROM (SELECT id, tenant, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."advisory_raw" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL) AS linked WHERE old IS DISTINCT FROM expected LIMIT 50000;

UPDATE "public"."aoc_migration_state" SET value = value || '{"done": true}', recorded_at = now() WHERE name = 'concelier_0006';

ALTER TABLE "public"."advisory_raw" ADD CONSTRAINT advisory_raw_content_v1 CHECK ("public"."advisory_raw_content_ok_v1"(content::jsonb)) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_content_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25';

ALTER TABLE "public"."advisory_raw" VALIDATE CONSTRAINT advisory_raw_content_v1;

DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN SHARE UPDATE EXCLUSIVE MODE;
  END IF;
END $aoc$;

DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN ACCESS EXCLUSIVE MODE;
  END IF;
END $aoc$;

DO $aoc$
DECLARE
  role_before text := current_setting('role');
  owner oid; listed text; entry record;
BEGIN
  DECLARE reason text := (SELECT CASE WHEN EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008') THEN NULL
    WHEN kind IN ('r', 'p') AND named THEN 'the name advisory_backup_20251028 is taken'
    WHEN kind = 'v' AND NOT taken THEN 'it is a view already, and there is no advisory_backup_20251028'
    WHEN kind = 'v' AND NOT ARRAY(SELECT DISTINCT d.refobjid::regclass FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.ev_class = to_regclass('"public"."advisory"') AND r.rulename = '_RETURN') = ARRAY[to_regclass('"public"."advisory_backup_20251028"')] THEN 'it is a view, but not over advisory_backup_20251028 alone'
    WHEN kind NOT IN ('r', 'p', 'v') THEN 'it is neither a table nor a view' END
  FROM (SELECT (SELECT relkind FROM pg_class WHERE oid = to_regclass('"public"."advisory"')) AS kind,
    to_regclass('"public"."advisory_backup_20251028"') IS NOT NULL AS taken,
    to_regtype('"public"."advisory_backup_20251028"') IS NOT NULL AS named) AS found);
  BEGIN
    IF reason IS NOT NULL THEN
      RAISE EXCEPTION 'advisory: %', reason;
    END IF;
  END;
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('"public"."advisory"') AND relkind <> 'v') THEN
    INSERT INTO "public"."aoc_migration_state" (name, value) VALUES ('concelier_0008', '{"swapped": false}');
    RETURN;
  END IF;
  ALTER TABLE "public"."advisory" RENAME TO advisory_backup_20251028;
  SELECT relowner INTO owner FROM pg_class WHERE oid = '"public"."advisory_backup_20251028"'::regclass;
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO listed FROM pg_attribute
    WHERE attrelid = '"public"."advisory_backup_20251028"'::regclass AND attnum > 0 AND NOT attisdropped;
  EXECUTE format('CREATE VIEW %s WITH (security_invoker = %s) AS SELECT %s FROM %s', '"public"."advisory"',
    (SELECT relrowsecurity OR NOT has_table_privilege(relowner, oid, 'SELECT') FROM pg_class WHERE oid = to_regclass('"public"."advisory_backup_20251028"')), listed, '"public"."advisory_backup_20251028"');
  CREATE FUNCTION "public"."aoc_advisory_read_only"() RETURNS trigger LANGUAGE plpgsql AS $body$BEGIN RAISE EXCEPTION 'advisory is read-only: its rows are history, kept in advisory_backup_20251028' USING ERRCODE = 'read_only_sql_transaction', HINT = 'New documents go to advisory_raw.'; END$body$;
  CREATE OR REPLACE TRIGGER aoc_advisory_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON "public"."advisory" FOR EACH ROW EXECUTE FUNCTION "public"."aoc_advisory_read_only"();
  EXECUTE format('COMMENT ON VIEW %s IS %L', '"public"."advisory"',
    obj_description('"public"."advisory_backup_20251028"'::regclass, 'pg_class'));
  FOR entry IN SELECT attname, col_description(attrelid, attnum) AS words FROM pg_attribute
    WHERE attrelid = '"public"."advisory_backup_20251028"'::regclass AND col_description(attrelid, attnum) IS NOT NULL AND attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', '"public"."advisory"', entry.attname, entry.words);
  END LOOP;
  EXECUTE format('ALTER FUNCTION %s() OWNER TO %I', '"public"."aoc_advisory_read_only"', pg_get_userbyid(owner));
  EXECUTE format('ALTER VIEW %s OWNER TO %I', '"public"."advisory"', pg_get_userbyid(owner));
  -- Privileges: first take away what default privileges gave, then grant what the table grants.
  FOR entry IN SELECT given.grantee
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS given
    WHERE oid = '"public"."advisory"'::regclass
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', '"public"."advisory"',
      CASE WHEN entry.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END);
  END LOOP;
  FOR pass IN 1..9 LOOP  -- a grantor may owe its grant option to another grantor
    FOR entry IN
      WITH granted AS (SELECT c.oid AS relation, a.grantor, a.grantee, a.privilege_type, a.is_grantable,
        NULL::name AS attname
      FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a WHERE c.oid IN (to_regclass('"public"."advisory"'), to_regclass('"public"."advisory_backup_20251028"'))
      UNION ALL SELECT t.attrelid, a.grantor, a.grantee, a.privilege_type, a.is_grantable, t.attname
      FROM pg_attribute t, aclexplode(t.attacl) AS a
      WHERE t.attrelid IN (to_regclass('"public"."advisory"'), to_regclass('"public"."advisory_backup_20251028"')) AND t.attnum > 0 AND NOT t.attisdropped)
      SELECT grantor, grantee, privilege_type, is_grantable, attname FROM granted
        WHERE relation = '"public"."advisory_backup_20251028"'::regclass
      EXCEPT SELECT grantor, grantee, privilege_type, is_grantable, attname FROM granted
        WHERE relation = '"public"."advisory"'::regclass
    LOOP
      CONTINUE WHEN entry.grantor <> owner AND NOT CASE WHEN entry.attname IS NULL
        THEN has_table_privilege(entry.grantor, '"public"."advisory"', entry.privilege_type || ' WITH GRANT OPTION')
        ELSE has_column_privilege(entry.grantor, '"public"."advisory"', entry.attname,
          entry.privilege_type || ' WITH GRANT OPTION') END;
      IF entry.grantor <> owner THEN
        PERFORM set_config('role', pg_get_userbyid(entry.grantor), true);
      END IF;
      EXECUTE format('GRANT %s%s ON %s TO %s%s', entry.privilege_type,
        coalesce('(' || quote_ident(entry.attname) || ')', ''), '"public"."advisory"',
        CASE WHEN entry.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END,
        CASE WHEN entry.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
      PERFORM set_config('role', role_before, true);
    END LOOP;
    EXIT WHEN NOT FOUND;
  END LOOP;
  INSERT INTO "public"."aoc_migration_state" (name, value)
    SELECT 'concelier_0008', jsonb_build_object('swapped', true, 'readers', (SELECT coalesce(jsonb_agg(to_jsonb(h) - 'relation'), '[]') FROM (SELECT c.oid AS relation,
      CASE WHEN a.grantor <> c.relowner THEN pg_get_userbyid(a.grantor)::text END AS grantor,
      CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee,
      a.is_grantable AS grantable, a.attname::text AS attname
    FROM pg_class c CROSS JOIN LATERAL (SELECT e.*, NULL::name AS attname FROM aclexplode(c.relacl) AS e
      UNION ALL SELECT e.*, t.attname FROM pg_attribute t, aclexplode(t.attacl) AS e
      WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS a
    WHERE c.oid IN (to_regclass('"public"."advisory"')) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner) AS h));
END $aoc$;

LOCK TABLE "public"."advisory_raw" IN ROW EXCLUSIVE MODE;

SELECT EXISTS (SELECT 1 FROM "public"."advisory_raw");

WITH linked AS (
  SELECT tenant, source_vendor, upstream_id, supersedes AS old, lag(id) OVER chain AS expected, CASE WHEN supersedes IS DISTINCT FROM lag(id) OVER chain THEN id END AS wrong,
    row_number() OVER chain AS revision, lead(true) OVER chain IS NULL AS latest
  FROM "public"."advisory_raw" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL
  WINDOW chain AS (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C")
), groups AS MATERIALIZED (
  SELECT revision, wrong, count(*) AS rows, count(old) AS linked, count(*) FILTER (WHERE latest) AS documents,
    min(ARRAY[tenant, source_vendor, upstream_id] COLLATE "C") FILTER (WHERE latest) AS first,
    min(old) FILTER (WHERE wrong IS NOT NULL) AS old, min(expected) FILTER (WHERE wrong IS NOT NULL) AS expected
  FROM linked GROUP BY revision, wrong
), revisions AS (
  SELECT revision AS revisions, sum(documents)::bigint AS documents, min(first COLLATE "C") AS first,
    sum(sum(rows)) OVER ()::bigint AS all_rows, sum(sum(linked)) OVER ()::bigint AS all_linked,
    sum(count(wrong)) OVER ()::bigint AS all_wrong FROM groups GROUP BY revision
)
SELECT *, NULL AS id, NULL AS old, NULL AS expected FROM revisions WHERE documents > 0
UNION ALL (
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, wrong, old, expected FROM groups WHERE wrong IS NOT NULL
  LIMIT $1
) ORDER BY revisions DESC NULLS LAST;

SELECT id, supersedes FROM "public"."advisory_raw" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" LIMIT 5;

SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."advisory_raw" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL) AS linked WHERE old IS DISTINCT FROM expected LIMIT $1;

LOCK TABLE "public"."aoc_supersedes_journal" IN ACCESS SHARE MODE;

SELECT count(*) AS batches, coalesce(sum(coalesce(array_length(links, 1), 0)), 0)::bigint AS links FROM "public"."aoc_supersedes_journal";

DO $aoc$
DECLARE
  changes jsonb := (SELECT jsonb_agg(to_jsonb(c) ORDER BY line) FROM (
  WITH held AS (
    SELECT c.oid AS relation,
      CASE WHEN a.grantor <> c.relowner THEN pg_get_userbyid(a.grantor)::text END AS grantor,
      CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee,
      a.is_grantable AS grantable, a.attname::text AS attname
    FROM pg_class c CROSS JOIN LATERAL (SELECT e.*, NULL::name AS attname FROM aclexplode(c.relacl) AS e
      UNION ALL SELECT e.*, t.attname FROM pg_attribute t, aclexplode(t.attacl) AS e
      WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS a
    WHERE c.oid IN (to_regclass('"public"."advisory"'), to_regclass('"public"."advisory_backup_20251028"')) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
  ), owners AS (
    SELECT pg_get_userbyid(v.relowner) AS of_view, pg_get_userbyid(t.relowner) AS of_table, t.relnamespace
    FROM pg_class t, pg_class v WHERE t.oid = to_regclass('"public"."advisory_backup_20251028"') AND v.oid = to_regclass('"public"."advisory"')
  ), first AS (
    SELECT r.* FROM "public"."aoc_migration_state" AS s, jsonb_to_recordset(s.value->'readers') AS r (grantor text, grantee text, grantable boolean, attname text)
    WHERE s.name = 'concelier_0008'
  ), now AS (
    SELECT grantor, grantee, grantable, attname FROM held WHERE relation = to_regclass('"public"."advisory"')
  ), own AS (
    SELECT grantor, grantee, grantable, attname FROM held WHERE relation = to_regclass('"public"."advisory_backup_20251028"')
  ), lost AS (
    SELECT first.* FROM first, owners WHERE grantee IS DISTINCT FROM of_view AND (attname IS NULL OR EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('"public"."advisory"') AND a.attname = first.attname))
    EXCEPT SELECT * FROM now
  ), gained AS (
    SELECT now.* FROM now, owners WHERE grantee IS DISTINCT FROM of_table AND (attname IS NULL OR EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('"public"."advisory_backup_20251028"') AND a.attname = now.attname))
    EXCEPT SELECT * FROM first
  ), due AS (
    SELECT 'KEEP' AS verb, k.* FROM (SELECT * FROM own EXCEPT SELECT * FROM lost) AS k
    UNION ALL SELECT 'REVOKE', r.* FROM (SELECT * FROM own INTERSECT SELECT * FROM lost) AS r
    UNION ALL SELECT 'GRANT', g.* FROM (SELECT * FROM gained EXCEPT SELECT * FROM own) AS g
  ), judged AS (
    SELECT due.*, grantor IS NULL OR pg_has_role(grantor, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
      AND has_schema_privilege(grantor, relnamespace, 'USAGE') AS acts FROM due, owners
  )
  SELECT *, CASE WHEN verb <> 'KEEP' THEN concat(verb, ' SELECT', ' (' || quote_ident(attname) || ')',
      CASE verb WHEN 'GRANT' THEN ' TO ' ELSE ' FROM ' END, coalesce(quote_ident(grantee), 'PUBLIC'),
      CASE WHEN grantable THEN ' WITH GRANT OPTION' END, ' GRANTED BY ' || quote_ident(grantor),
      CASE WHEN acts THEN ', which the table ' || lower(verb) || 's too' WHEN verb = 'GRANT'
        THEN ', which the table''s owner grants: we may not act as ' || quote_ident(grantor)
        ELSE ', which the table does not follow: we may not act as ' || quote_ident(grantor) END) END AS line
  FROM judged
  UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL,
    format('it belongs to %I, and the table to %I, which stays so', of_view, of_table)
  FROM owners WHERE of_view <> of_table) AS c);
  role_before text := current_setting('role');
  entry record; able boolean;
BEGIN
  DECLARE reason text := (SELECT CASE WHEN NOT EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008' AND (value->>'swapped')::boolean) THEN NULL
    WHEN to_regclass('"public"."advisory_backup_20251028"') IS NULL THEN 'there is no advisory_backup_20251028'
    WHEN kind <> 'v' THEN 'advisory is no view any more'
    WHEN kind = 'v' AND NOT ARRAY(SELECT DISTINCT d.refobjid::regclass FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.ev_class = to_regclass('"public"."advisory"') AND r.rulename = '_RETURN') = ARRAY[to_regclass('"public"."advisory_backup_20251028"')] THEN 'it is a view, but not over advisory_backup_20251028 alone'
    WHEN names IS NOT NULL THEN 'other objects depend on it (' || names || ')' ELSE (SELECT format('it belongs to %I, whose rights are too few to lock advisory_backup_20251028, a table of %I',
    pg_get_userbyid(v.relowner), pg_get_userbyid(t.relowner)) FROM pg_class v, pg_class t
  WHERE v.oid = to_regclass('"public"."advisory"') AND t.oid = to_regclass('"public"."advisory_backup_20251028"')
    AND v.relkind = 'v' AND v.relowner <> t.relowner
    AND NOT has_table_privilege(v.relowner, t.oid, 'UPDATE, DELETE, TRUNCATE')
    AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions)
      WHERE option_name = 'security_invoker' AND option_value::boolean)) END
  FROM (SELECT (SELECT relkind FROM pg_class WHERE oid = to_regclass('"public"."advisory"')) AS kind,
    (SELECT string_agg(DISTINCT CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0) ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, ', ' ORDER BY CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0) ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END) FROM pg_depend d
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
  WHERE d.deptype = 'n' AND coalesce(r.ev_class, g.tgrelid, 0) IS DISTINCT FROM to_regclass('"public"."advisory"')
    AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass('"public"."advisory"')
      OR d.refclassid = 'pg_proc'::regclass AND d.refobjid = to_regprocedure('"public"."aoc_advisory_read_only"()')
      OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
        SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = to_regclass('"public"."advisory"')))) AS names) AS found);
  BEGIN
    IF reason IS NOT NULL THEN
      RAISE EXCEPTION 'advisory: %', reason;
    END IF;
  END;
  IF EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008' AND (value->>'swapped')::boolean) THEN
    FOR entry IN SELECT line FROM jsonb_to_recordset(changes) AS c (verb text, grantor text, grantee text, grantable boolean, attname text, acts boolean, line text) WHERE line IS NOT NULL LOOP
      RAISE WARNING 'advisory: %', entry.line;
    END LOOP;
    FOR pass IN 0..9 LOOP
      EXIT WHEN NOT (changes @> '[{"verb": "GRANT"}]' OR changes @> '[{"verb": "REVOKE"}]');
      FOR entry IN SELECT * FROM jsonb_to_recordset(changes) AS c (verb text, grantor text, grantee text, grantable boolean, attname text, acts boolean, line text)
        WHERE (verb = 'REVOKE') = (pass = 0)
      LOOP
        able := entry.grantor IS NULL OR entry.acts AND CASE WHEN entry.attname IS NULL
          THEN has_table_privilege(entry.grantor, '"public"."advisory_backup_20251028"', 'SELECT WITH GRANT OPTION')
          ELSE has_column_privilege(entry.grantor, '"public"."advisory_backup_20251028"', entry.attname, 'SELECT WITH GRANT OPTION') END;
        CONTINUE WHEN NOT able AND (entry.verb <> 'GRANT' OR pass < 9);
        IF able AND entry.grantor IS NOT NULL THEN
          PERFORM set_config('role', entry.grantor, true);
        END IF;
        EXECUTE format(CASE pass WHEN 0 THEN 'REVOKE SELECT%s ON %s FROM %s CASCADE'
            ELSE 'GRANT SELECT%s ON %s TO %s%s' END,
          '(' || quote_ident(entry.attname) || ')', '"public"."advisory_backup_20251028"', coalesce(quote_ident(entry.grantee), 'PUBLIC'),
          CASE WHEN entry.grantable THEN ' WITH GRANT OPTION' END);
        PERFORM set_config('role', role_before, true);
      END LOOP;
    END LOOP;
    DROP VIEW IF EXISTS "public"."advisory";
    DROP FUNCTION IF EXISTS "public"."aoc_advisory_read_only"();
    ALTER TABLE "public"."advisory_backup_20251028" RENAME TO advisory;
  END IF;
  DELETE FROM "public"."aoc_migration_state" WHERE name = 'concelier_0008';
END $aoc$;

ALTER TABLE "public"."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_content_v1;

UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object('cursor', jsonb_build_object('tenant', '', 'source_vendor', '', 'upstream_id', '', 'id', '', 'retrieved_at', '-infinity'), 'seen', 0, 'done', false, 'started_at', now()) WHERE name = 'concelier_0006';

SELECT batch, tenant, rest, array_agg(id) AS id, array_agg(w.new) AS old, array_agg(w.old) AS new
FROM (SELECT *, greatest(coalesce(array_length(links, 1), 0) - $1, 0) AS rest FROM "public"."aoc_supersedes_journal"
  ORDER BY batch DESC LIMIT 1) AS latest, LATERAL (SELECT id, new, old FROM (SELECT n, text AS id, lead(text) OVER triple AS new, lead(text, 2) OVER triple AS old FROM unnest(links[rest + 1:]) WITH ORDINALITY AS listed (text, n) WINDOW triple AS (ORDER BY n)) AS triples WHERE mod(n, 3) = 1) AS w
GROUP BY batch, tenant, rest;

WITH wanted AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS w (id, old, new))
UPDATE "public"."advisory_raw" AS t SET supersedes = w.new FROM wanted AS w
WHERE t.tenant = $4 AND t.id = w.id AND t.supersedes IS NOT DISTINCT FROM w.old RETURNING t.id, w.old, w.new;

DELETE FROM "public"."aoc_supersedes_journal" WHERE batch = $1 AND $2 = 0;

UPDATE "public"."aoc_supersedes_journal" SET links = links[:$1] WHERE batch = $2 AND $1 > 0;

UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object('rows', (value->>'rows')::bigint + (-$1::bigint)) WHERE name = 'concelier_0006';

LOCK TABLE "public"."aoc_migration_state", "public"."aoc_supersedes_journal" IN ROW EXCLUSIVE MODE;

DROP TABLE IF EXISTS "public"."aoc_supersedes_journal";

ALTER TABLE "public"."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1;

ALTER TABLE "public"."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1;

DO $aoc$
DECLARE parts text := (SELECT string_agg(format('ALTER %I DROP NOT NULL', attname), ', ') FROM pg_attribute
    WHERE attrelid = to_regclass('"public"."advisory_raw"') AND attnotnull AND attname = ANY ('{source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'concelier_0003' AND NOT value->'not_null' ? attname::text) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated));
BEGIN
  IF parts IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %s %s', '"public"."advisory_raw"', parts);
  END IF;
END $aoc$;
