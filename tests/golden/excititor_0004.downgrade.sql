\set ON_ERROR_STOP on

SET search_path = pg_catalog, pg_temp;
DO $aoc$ BEGIN
  PERFORM set_config(coalesce(name, ours), wanted, false) FROM (VALUES
    ('exit_on_error', 'off'), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '5s'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('client_min_messages', 'warning'), ('log_parameter_max_length_on_error', '0'), ('check_function_bodies', 'on'),
    ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'), ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'), ('row_security', 'off'), ('restrict_nonsystem_relation_kind', ''),
    ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off'), ('jit', 'off'),
    ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'),
    ('array_nulls', 'on'), ('xmloption', 'content'), ('quote_all_identifiers', 'off'),
    ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('xmlbinary', 'base64')
  ) AS ours (ours, wanted) LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.';
END $aoc$;

DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' has one of our names, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
WITH wanted (name, place, columns, exact) AS (
  VALUES ('aoc_alembic_version', '"public"."aoc_alembic_version"', ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', '"public"."aoc_migration_hold"', ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', '"public"."aoc_migration_state"', ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', '"public"."aoc_migration_log"', ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'ticket text', 'plan text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'progress jsonb', 'steps jsonb', 'checksums jsonb', 'controls jsonb']::text[], true), ('aoc_supersedes_journal', '"public"."aoc_supersedes_journal"', ARRAY['batch bigint', 'links text[]', 'tenant text', 'written_at timestamp with time zone']::text[], true)
) SELECT name, flaw, remedy FROM wanted AS w JOIN pg_class c ON c.oid = to_regclass(place) CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('"public"."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
      THEN 'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner))
    WHEN NOT (w.columns <@ found.columns AND (found.columns <@ w.columns OR NOT w.exact))
      THEN 'it has other columns' END AS wrong, CASE
    WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) THEN 'it has a trigger'
    WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has a rule'
    WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
      THEN 'it has row-level security'
    WHEN EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'it has a parent or a child'
    WHEN EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid) THEN 'a foreign key refers to it' END AS added
  FROM (SELECT coalesce(array_agg(attname || ' ' || format_type(atttypid, atttypmod)), '{}') AS columns
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS found
) AS judged CROSS JOIN LATERAL (SELECT coalesce(wrong, added) AS flaw,
  CASE WHEN wrong IS NULL THEN 'Drop that, and keep the table.' ELSE 'Rename or drop it, as its owner or as a superuser.' END AS remedy) AS said
WHERE flaw IS NOT NULL
UNION ALL SELECT name, 'a type has it', 'Rename or drop it, as its owner or as a superuser.'
FROM wanted JOIN pg_type t ON t.oid = to_regtype(place) WHERE t.typrelid = 0
UNION ALL SELECT 'aoc_alembic_version_pkc', 'it does not belong to ' || name, 'Rename or drop it, as its owner or as a superuser.'
FROM wanted JOIN pg_class k ON k.oid = to_regclass(left(place, -1) || '_pkc"') WHERE name = 'aoc_alembic_version'
  AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = k.oid AND indrelid = to_regclass(place))) AS foreign_objects);
BEGIN
  IF found IS NOT NULL THEN
    RAISE EXCEPTION '%', found;
  END IF;
END $aoc$;

DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('"public"."vex_raw"') AND relkind = 'p')
    OR EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger') AND tgrelid = to_regclass('"public"."vex_raw"')) THEN
    RAISE EXCEPTION '%', 'vex_raw is partitioned, or Citus manages it: run alembic without --sql, or aoc-migrate';
  END IF;
END $aoc$;

-- Running downgrade excititor_0004 -> excititor_0003

-- Stop if the index vex_raw_idempotency_v1 is used by others.
DO $aoc$
DECLARE reason text := CASE WHEN EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean) AND EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  WHERE i.indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"') AND i.indrelid = to_regclass('"public"."vex_raw"')
  AND i.indisunique = true AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND m.amname = 'btree' AND i.indnatts = i.indnkeyatts AND i.indnatts = cardinality(ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash'])
  AND (SELECT bool_and(a.attname = split_part(w.name, ' ', 1) AND o.opcdefault AND k.options = 0
      AND k.collated = CASE WHEN strpos(w.name, ' COLLATE "C"') > 0 THEN 'pg_catalog."C"'::regcollation
        ELSE a.attcollation END)
    FROM unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[], i.indoption::int2[])
      WITH ORDINALITY AS k (attnum, collated, class, options, n)
    JOIN unnest(ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) WITH ORDINALITY AS w (name, n) ON w.n = k.n JOIN pg_opclass o ON o.oid = k.class
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)) THEN (
  WITH parts AS (SELECT to_regclass('"public"."vex_raw_idempotency_v1"')::oid AS index, false AS kept UNION SELECT relid::oid, EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004' AND EXISTS (SELECT FROM jsonb_array_elements(value->'leaf_indexes') AS own (own), (VALUES (relid)) AS c (oid) JOIN pg_class r ON r.oid = c.oid JOIN pg_namespace n ON n.oid = relnamespace WHERE true AND CASE WHEN value->>'recorded_in' = to_regclass('"public"."aoc_migration_state"')::oid::text AND EXISTS (SELECT FROM pg_class WHERE oid = (own->>2)::oid) THEN r.oid = (own->>2)::oid ELSE own->>0 = n.nspname AND own->>1 = r.relname END))
    FROM pg_partition_tree(to_regclass('"public"."vex_raw_idempotency_v1"')))
  SELECT string_agg(used, '; ' ORDER BY used) FROM (
    SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) || ' needs it' AS used
    FROM pg_constraint JOIN parts ON conindid = index WHERE conparentid = 0
    UNION ALL SELECT format('it is the replica identity of %1$s (ALTER TABLE %1$s REPLICA IDENTITY DEFAULT; ' ||
      'chooses another)', indrelid::regclass)
    FROM pg_index JOIN parts ON indexrelid = index WHERE indisreplident AND NOT kept) AS uses) END;
BEGIN
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION 'the index vex_raw_idempotency_v1: %', reason;
  END IF;
END $aoc$;

-- No other session may be building it.
DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"') AND indrelid = to_regclass('"public"."vex_raw"') AND NOT (indisvalid AND indisready AND indislive)) AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE (relation = to_regclass('"public"."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) OR transactionid IN (SELECT xmax FROM pg_index WHERE indrelid = to_regclass('"public"."vex_raw"'))) AND granted AND pid IS DISTINCT FROM pg_backend_pid()) IS NOT NULL THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is INVALID, and % may be building it: let that end, and run this again',
      (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE (relation = to_regclass('"public"."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) OR transactionid IN (SELECT xmax FROM pg_index WHERE indrelid = to_regclass('"public"."vex_raw"'))) AND granted AND pid IS DISTINCT FROM pg_backend_pid());
  END IF;
END $aoc$;

-- DROP INDEX CONCURRENTLY vex_raw_idempotency_v1 ON vex_raw: SHARE UPDATE EXCLUSIVE on vex_raw while it runs; reads and writes go on; it waits for older transactions.
SELECT 'DROP INDEX CONCURRENTLY IF EXISTS "public"."vex_raw_idempotency_v1"' WHERE EXISTS (SELECT FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean) AND EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  WHERE i.indexrelid = to_regclass('"public"."vex_raw_idempotency_v1"') AND i.indrelid = to_regclass('"public"."vex_raw"')
  AND i.indisunique = true AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND m.amname = 'btree' AND i.indnatts = i.indnkeyatts AND i.indnatts = cardinality(ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash'])
  AND (SELECT bool_and(a.attname = split_part(w.name, ' ', 1) AND o.opcdefault AND k.options = 0
      AND k.collated = CASE WHEN strpos(w.name, ' COLLATE "C"') > 0 THEN 'pg_catalog."C"'::regcollation
        ELSE a.attcollation END)
    FROM unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[], i.indoption::int2[])
      WITH ORDINALITY AS k (attnum, collated, class, options, n)
    JOIN unnest(ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) WITH ORDINALITY AS w (name, n) ON w.n = k.n JOIN pg_opclass o ON o.oid = k.class
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum))
\gexec

BEGIN;

-- forget excititor_0004 ON aoc_migration_state: takes no lock on your tables; what was recorded for the downgrade, which is done.
DELETE FROM "public"."aoc_migration_state" WHERE name = 'excititor_0004';

UPDATE public.aoc_alembic_version SET version_num='excititor_0003' WHERE public.aoc_alembic_version.version_num = 'excititor_0004';

COMMIT;

