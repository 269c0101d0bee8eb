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
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('"public"."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('"public"."advisory_raw"') AND relkind = 'p')
    OR EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger') AND tgrelid = to_regclass('"public"."advisory_raw"')) THEN
    RAISE EXCEPTION '%', 'advisory_raw is partitioned, or Citus manages it: run alembic without --sql, or aoc-migrate';
  END IF;
END $aoc$;

BEGIN;

-- Running upgrade concelier_0007 -> concelier_0008

-- ACCESS EXCLUSIVE on advisory, for an instant: waits 100 ms at most, and others wait as long.
-- SHARE UPDATE EXCLUSIVE first: no reader or writer waits for it, and an autovacuum yields to it.
SET LOCAL lock_timeout = '5000ms';
DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN SHARE UPDATE EXCLUSIVE MODE;
  END IF;
END $aoc$;
SET LOCAL lock_timeout = '100ms';
SET LOCAL statement_timeout = '100ms';
SET LOCAL synchronous_commit = off;
DO $aoc$
BEGIN
  IF to_regclass('"public"."advisory"') IS NOT NULL THEN
    LOCK TABLE "public"."advisory" IN ACCESS EXCLUSIVE MODE;
  END IF;
END $aoc$;

-- RENAME and CREATE VIEW advisory: ACCESS EXCLUSIVE on advisory for an instant; readers find the same rows under the same name; nobody writes them any more.
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

UPDATE public.aoc_alembic_version SET version_num='concelier_0008' WHERE public.aoc_alembic_version.version_num = 'concelier_0007';

COMMIT;

