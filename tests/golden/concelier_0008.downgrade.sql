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

-- Running downgrade concelier_0008 -> concelier_0007

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

-- DROP VIEW and RENAME advisory: ACCESS EXCLUSIVE on advisory for an instant; the table never lost its owner and its policies.
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

UPDATE public.aoc_alembic_version SET version_num='concelier_0007' WHERE public.aoc_alembic_version.version_num = 'concelier_0008';

COMMIT;

