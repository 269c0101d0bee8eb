SET search_path = pg_catalog, pg_temp;
DO $aoc$ BEGIN
  PERFORM set_config(coalesce(name, ours), wanted, false) FROM (VALUES
    ('exit_on_error', 'off'), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
    ('client_min_messages', 'warning'), ('log_parameter_max_length_on_error', '0'), ('check_function_bodies', 'on'),
    ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'), ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'), ('row_security', 'off'), ('restrict_nonsystem_relation_kind', ''),
    ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off'), ('client_encoding', 'UTF8'),
    ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'), ('array_nulls', 'on'),
    ('xmloption', 'content'), ('quote_all_identifiers', 'off'), ('DateStyle', 'ISO, MDY'),
    ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('extra_float_digits', '1'),
    ('bytea_output', 'hex'), ('xmlbinary', 'base64')
  ) AS ours (ours, wanted) LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.';
END $aoc$;

DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' bears a name of ours, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
SELECT name, flaw, remedy FROM (VALUES ('aoc_alembic_version', to_regclass('"public"."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', to_regclass('"public"."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', to_regclass('"public"."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', to_regclass('"public"."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'steps jsonb', 'checksums jsonb']::text[], true), ('aoc_supersedes_journal', to_regclass('"public"."aoc_supersedes_journal"'), ARRAY['batch bigint', 'ids text[]', 'old text[]', 'new text[]', 'written_at timestamp with time zone']::text[], true))
    AS w (name, oid, columns, exact) JOIN pg_class c ON c.oid = w.oid CROSS JOIN LATERAL (
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
WHERE flaw IS NOT NULL) AS foreign_objects);
BEGIN
  IF found IS NOT NULL THEN
    RAISE EXCEPTION '%', found;
  END IF;
END $aoc$;

BEGIN;

-- Running upgrade excititor_0005 -> excititor_0006

COMMIT;

DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('"public"."aoc_supersedes_journal"') IS NULL THEN
    CREATE TABLE "public"."aoc_supersedes_journal" (
      batch bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      ids text[] NOT NULL,
      old text[] NOT NULL,
      new text[] NOT NULL,
      written_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('"public"."aoc_supersedes_journal"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$;

DO $aoc$
BEGIN
  IF coalesce(current_setting('aoc.allow_supersedes_retrofit', true), '') <> 'true'
    AND EXISTS (SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."vex_raw" WHERE true) AS linked WHERE old IS DISTINCT FROM expected) THEN
    RAISE EXCEPTION 'rows of vex_raw need a supersedes link: SET aoc.allow_supersedes_retrofit = ''true'' to allow it';
  END IF;
END $aoc$;

INSERT INTO "public"."aoc_migration_state" (name, value) SELECT 'excititor_0006', jsonb_build_object('cursor', jsonb_build_object('tenant', '', 'source_vendor', '', 'upstream_id', '', 'id', '', 'retrieved_at', '-infinity'), 'rows', 0, 'done', false, 'started_at', now()) ON CONFLICT (name) DO NOTHING;

DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    WITH place AS MATERIALIZED (
      SELECT value FROM "public"."aoc_migration_state" WHERE name = 'excititor_0006'
    ), page AS MATERIALIZED (
      SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes AS old,
        lag(id) OVER (PARTITION BY tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected
      FROM (SELECT tenant, source_vendor, upstream_id, retrieved_at, id, supersedes FROM "public"."vex_raw"
        WHERE (tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C") >= ((SELECT (value->'cursor'->>'tenant')::text FROM place), (SELECT (value->'cursor'->>'source_vendor')::text FROM place), (SELECT (value->'cursor'->>'upstream_id')::text FROM place), (SELECT (value->'cursor'->>'retrieved_at')::timestamptz FROM place), (SELECT (value->'cursor'->>'id')::text FROM place))
        ORDER BY tenant, source_vendor, upstream_id, retrieved_at, id COLLATE "C" LIMIT 2001) AS ahead
    ), wrong AS (
      SELECT id, old, expected FROM page
      WHERE old IS DISTINCT FROM expected AND id <> (SELECT value->'cursor'->>'id' FROM place)
    ), written AS (
      UPDATE "public"."vex_raw" AS t SET supersedes = w.expected FROM wrong AS w
      WHERE t.id = w.id AND t.supersedes IS NOT DISTINCT FROM w.old
      RETURNING t.id, w.old, w.expected
    ), journal AS (
      INSERT INTO "public"."aoc_supersedes_journal" (ids, old, new)
      SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
      FROM written HAVING count(*) > 0
    ), last AS (
      SELECT tenant, source_vendor, upstream_id, retrieved_at, id FROM page
      ORDER BY tenant DESC, source_vendor DESC, upstream_id DESC, retrieved_at DESC, id COLLATE "C" DESC LIMIT 1
    ), moved AS (
      UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object(
        'cursor', jsonb_build_object('tenant', last.tenant, 'source_vendor', last.source_vendor, 'upstream_id', last.upstream_id, 'retrieved_at', last.retrieved_at, 'id', last.id), 'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written))
      FROM last WHERE name = 'excititor_0006'
    )
    SELECT count(*) FILTER (WHERE id <> (SELECT value->'cursor'->>'id' FROM place)) AS seen,
      (SELECT count(*) FROM written) AS written FROM page INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$;

DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    WITH wrong AS (
      SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS expected FROM "public"."vex_raw" WHERE true) AS linked WHERE old IS DISTINCT FROM expected LIMIT 2000
    ), written AS (
      UPDATE "public"."vex_raw" AS t SET supersedes = w.expected FROM wrong AS w
      WHERE t.id = w.id AND t.supersedes IS NOT DISTINCT FROM w.old
      RETURNING t.id, w.old, w.expected
    ), journal AS (
      INSERT INTO "public"."aoc_supersedes_journal" (ids, old, new)
      SELECT array_agg(id ORDER BY id), array_agg(old ORDER BY id), array_agg(expected ORDER BY id)
      FROM written HAVING count(*) > 0
    ), counted AS (
      UPDATE "public"."aoc_migration_state" SET recorded_at = now(), value = value || jsonb_build_object(
        'rows', (value->>'rows')::bigint + (SELECT count(*) FROM written)) WHERE name = 'excititor_0006'
    )
    SELECT count(*) AS seen, count(*) AS written FROM written INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$;

UPDATE "public"."aoc_migration_state" SET value = value || '{"done": true}', recorded_at = now() WHERE name = 'excititor_0006';

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='excititor_0006' WHERE public.aoc_alembic_version.version_num = 'excititor_0005';

COMMIT;

