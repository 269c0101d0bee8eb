-- Duplicate audit of vex_raw: groups of rows with the same idempotency key (tenant, source_vendor, upstream_id, content_hash).
-- Made by aoc-migrate 0.1.0 for PostgreSQL 15 and newer. It reads every row and changes nothing; it also runs on a standby.
--
--   psql -X -d DATABASE -f THIS.sql -v LIMIT=200      or on stdin: psql -X -d DATABASE < THIS.sql
--
--   -v LIMIT=N        how many groups to print, largest first; the verdict covers all of them
--   -v schema=NAME    schema of the table
--
-- Exit code 0: no conflict. 3: conflicts, or the rows could not be read; stderr says which.

\set ON_ERROR_STOP on
\set QUIET on
\set VERBOSITY terse
\set SHOW_CONTEXT never
\if :{?LIMIT} \else \set LIMIT 200 \endif
\if :{?schema} \else \set schema public \endif

-- Override settings of the role, the database and PGOPTIONS.
SET search_path = pg_catalog, pg_temp;
DO $aoc$ BEGIN
  PERFORM set_config(coalesce(name, ours), wanted, false) FROM (VALUES
    ('exit_on_error', 'off'), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('client_min_messages', 'warning'), ('log_parameter_max_length_on_error', '0'), ('check_function_bodies', 'on'),
    ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'), ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'), ('row_security', 'off'), ('restrict_nonsystem_relation_kind', ''),
    ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off'), ('jit', 'off'),
    ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'),
    ('array_nulls', 'on'), ('xmloption', 'content'), ('quote_all_identifiers', 'off'),
    ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('xmlbinary', 'base64'),
    ('lock_timeout', '0'), ('default_transaction_read_only', 'on')
  ) AS ours (ours, wanted) LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.';
END $aoc$;
SELECT to_regclass(format('%I.%I', :'schema', 'vex_raw')) IS NULL AS aoc_refused, set_config('aoc.reason', format('there is no vex_raw in schema %s of database %s', :'schema', current_database()), false) AS aoc_x \gset \if :aoc_refused
DO $$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $$;
\endif
SELECT :'LIMIT' !~ '^[1-9][0-9]{0,8}$' AS aoc_refused, set_config('aoc.reason', 'LIMIT is a number from 1 on, such as -v LIMIT=200', false) AS aoc_x \gset \if :aoc_refused
DO $$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $$;
\endif


SELECT coalesce(jsonb_agg(found) FILTER (WHERE n > 1), '[]') AS aoc_found, coalesce(max(groups), 0) AS aoc_groups,
  coalesce(max(rows), 0) AS aoc_rows, max(nulls) AS aoc_nulls, max(nulls) > 0 AS aoc_any FROM (
WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM :"schema"."vex_raw" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM :"schema"."vex_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT nulls, found.* FROM (SELECT coalesce(sum(n), 0)::bigint AS nulls FROM candidates WHERE digest IS NULL) AS lacking LEFT JOIN (
  SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT :LIMIT
) AS found ON true ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C"
) AS found \gset \if :aoc_any
\echo vex_raw: :aoc_nulls rows lack part of the key, and the constraints will refuse them; see aoc-migrate audit
\endif
SELECT :aoc_groups > 0 AS aoc_any \gset \if :aoc_any
\pset footer off
\pset pager off
SELECT n AS rows, tenant, source_vendor, upstream_id, content_hash, array_to_string(ids, ' ') AS ids FROM ROWS FROM (
  jsonb_to_recordset(:'aoc_found'::jsonb) AS (n bigint, tenant text, source_vendor text, upstream_id text, content_hash text, ids text[])) WITH ORDINALITY ORDER BY ordinality;
\endif
SELECT :aoc_groups > 0 AS aoc_refused, set_config('aoc.reason', format('vex_raw: %s groups of %s rows have one key (ERR_AOC_003); the index would refuse them', :aoc_groups, :aoc_rows), false) AS aoc_x \gset \if :aoc_refused
DO $$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $$;
\endif

\echo vex_raw: no conflicts
