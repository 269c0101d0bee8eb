-- AOC constraints of concelier or excititor. Made by aoc-migrate 0.1.0 for PostgreSQL 15 and newer.
--
--   psql -X -d DATABASE -f THIS.sql         or on stdin: psql -X -d DATABASE < THIS.sql
--
-- Constraints and idempotency index: the state of `aoc-migrate upgrade TARGET concelier_0004 or excititor_0004`.
-- The guard of the column content follows the backfill, with the upgrade to head: it would slow it down.
--
--   -v remove=1          take constraints and idempotency index away, and hold there
--   -v target=NAME       concelier or excititor; else it is found by its table (advisory_raw or vex_raw)
--   -v schema=NAME       where the tables are
--   -v release_hold=1    go up although a rollback holds the database
--   -v accept=SLUG:OBJECT  findings to accept, separated by commas
--
-- It commits by itself, so never with psql -1. Interrupted, it goes on when it is run again.
-- Exit code 0: done, nothing to do, or held. 3: refused or failed; stderr says why.

\set ON_ERROR_STOP on
\set QUIET on
\set VERBOSITY terse
\set SHOW_CONTEXT never
\if :{?schema}
\else
\set schema 'public'
\endif
\if :{?retrofit}
\else
\set retrofit 0
\endif
\if :{?release_hold}
\else
\set release_hold 0
\endif
\if :{?accept}
\else
\set accept ''
\endif

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
    ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lock_timeout', '600.0s')
  ) AS ours (ours, wanted) LEFT JOIN pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.';
END $aoc$;
SELECT quote_ident(:'schema') AS aoc_schema \gset
SELECT set_config('aoc.allow_supersedes_retrofit', (:'retrofit'::boolean)::text, false) AS aoc_retrofit,
  set_config('aoc.accept', :'accept', false) AS aoc_accept, :'release_hold'::boolean AS release_hold \gset
SELECT :'accept' <> '' AND EXISTS (SELECT FROM unnest(regexp_split_to_array(:'accept', ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)')) AS given WHERE given !~ '^(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):.*[^ ,]$') AS aoc_refused,
  set_config('aoc.reason', coalesce('accept is SLUG:OBJECT, several with a comma between them; a slug is one of update-trigger, foreign-code, needs-search-path, swap-conflict, move-trigger', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\if :{?remove}
\else
\set remove 0
\endif
\if :{?target}
\else
\set target ''
\endif

SELECT coalesce(nullif(:'target', ''), (SELECT string_agg(target, ' and ') FROM (VALUES ('concelier', (:'aoc_schema' || '."advisory_raw"')), ('excititor', (:'aoc_schema' || '."vex_raw"')))
  AS known (target, name) WHERE to_regclass(name) IS NOT NULL), 'neither') AS aoc_target,
  :'remove'::boolean AS aoc_remove \gset
SELECT :'aoc_target' NOT IN ('concelier', 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('schema %s of database %s holds the raw table of %s: name one with -v target=NAME', :'schema', current_database(), :'aoc_target'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT :'aoc_target' = 'concelier' AS aoc_this \gset
\if :aoc_this
\if :aoc_remove
SET application_name TO 'aoc-migrate constraints --remove';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."advisory_raw"'), (:'aoc_schema' || '."advisory"'), (:'aoc_schema' || '."advisory_backup_20251028"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' bears a name of ours, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
SELECT name, flaw, remedy FROM (VALUES ('aoc_alembic_version', to_regclass('<schema>."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', to_regclass('<schema>."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', to_regclass('<schema>."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', to_regclass('<schema>."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'steps jsonb', 'checksums jsonb']::text[], true), ('aoc_supersedes_journal', to_regclass('<schema>."aoc_supersedes_journal"'), ARRAY['batch bigint', 'ids text[]', 'old text[]', 'new text[]', 'written_at timestamp with time zone']::text[], true))
    AS w (name, oid, columns, exact) JOIN pg_class c ON c.oid = w.oid CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for concelier', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/concelier/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
  holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM (SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application,
  coalesce(a.usename, p.owner)::text AS role, p.gid,
  extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own
  ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction)
  ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = current_setting('aoc.lock')::bigint ORDER BY l.pid) AS held;
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we waited since %. Run it again later, or end that: %',
        holders, begun, ending;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif



SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_code$
#variable_conflict use_column
DECLARE
  errors int := 0; links bigint := -1; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  FOR found IN 
WITH RECURSIVE family AS (
  SELECT to_regclass('<schema>."advisory_raw"')::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
), parts (rel, class, object, name, events) AS NOT MATERIALIZED (
  SELECT g.tgrelid, 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & 28 | CASE WHEN g.tgtype & 16 <> 0
      AND (g.tgattr::text = '' OR (SELECT attnum FROM pg_attribute WHERE attrelid = g.tgrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (g.tgattr)) THEN 64 ELSE 0 END
  FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, 'rule ' || quote_ident(r.rulename),
    CASE r.ev_type WHEN '2' THEN 80 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END
  FROM pg_rewrite r WHERE r.ev_enabled IN ('O', 'A')
  UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid,
    CASE k.contype WHEN 'c' THEN 'CHECK ' ELSE 'foreign key ' END || quote_ident(k.conname), 84
  FROM pg_constraint k WHERE k.contype IN ('c', 'f')
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, k.conrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass,
    CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 8 ELSE 0 END
      | CASE WHEN k.confupdtype NOT IN ('c', 'n', 'd') THEN 0
        WHEN (SELECT attnum FROM pg_attribute WHERE attrelid = k.confrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (k.confkey) THEN 80 ELSE 16 END
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
  UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname), CASE WHEN a.attgenerated = '' THEN 4 ELSE 84 END
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT a.attrelid, 'pg_type'::regclass, a.atttypid, 'the type of column ' || quote_ident(a.attname),
    84
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'c'
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), 84
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE NOT x.relispartition
  UNION ALL SELECT t.partrelid, d.refclassid, d.refobjid, 'the partition key', 84
  FROM pg_partitioned_table t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.partrelid
  WHERE d.objsubid = 0 AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass)
  UNION ALL SELECT y.polrelid, 'pg_policy'::regclass, y.oid, 'policy ' || quote_ident(y.polname),
    92
  FROM pg_policy y WHERE row_security_active(y.polrelid)

), attached (name, events, class, object) AS (
  SELECT p.name, p.events, p.class, p.object FROM parts p JOIN family ON p.rel = family.oid
  UNION SELECT p.name, p.events, p.class, p.object FROM parts p
    JOIN pg_partition_ancestors(to_regclass('<schema>."advisory_raw"')) AS above (rel) ON p.rel = above.rel
  WHERE p.name = 'the partition key'
  UNION SELECT 'event trigger ' || quote_ident(evtname), 128, 'pg_event_trigger'::regclass, oid
  FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login'
), run (name, events, class, object, pinned) AS (
  SELECT name, events, class, object, false FROM attached WHERE events & (128) <> 0
  UNION SELECT run.name, run.events, inside.class, inside.object, run.pinned OR run.class = 'pg_proc'::regclass
    AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')))
  FROM run CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass
      AND c.oid = d.refobjid AND (run.class = 'pg_rewrite'::regclass
        OR run.class IN ('pg_proc'::regclass, 'pg_policy'::regclass) AND (c.relkind = 'v'
          OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND p.provolatile = 'v')))
    WHERE d.classid = run.class AND d.objid = run.object AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass) OR c.oid IS NOT NULL)
    UNION ALL SELECT p.class, p.object FROM parts p WHERE run.class = 'pg_class'::regclass AND p.rel = run.object
    UNION ALL SELECT 'pg_class'::regclass, inhrelid FROM pg_inherits
    WHERE run.class = 'pg_class'::regclass AND inhparent = run.object
    UNION ALL SELECT 'pg_type'::regclass, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
    WHERE run.class = 'pg_type'::regclass AND t.oid = run.object AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
    WHERE run.class = 'pg_type'::regclass AND contypid = run.object
    UNION ALL SELECT 'pg_proc'::regclass, amproc::oid FROM pg_opclass o JOIN pg_amproc ON amprocfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
    UNION ALL SELECT 'pg_operator'::regclass, amopopr FROM pg_opclass o JOIN pg_amop ON amopfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
  ) AS inside (class, object)
), known AS (
  SELECT p.oid, p.proowner, n.nspname, NOT pg_has_role(p.proowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE') AS "foreign",
    p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')) AS loose
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid IN (SELECT object FROM run WHERE class = 'pg_proc'::regclass)
    AND (encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = ANY (ARRAY['8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08', '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a', 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43']::text[])) IS NOT TRUE
)
SELECT kind.slug, known.oid::regprocedure::text AS function, known.nspname::text AS schema,
  pg_get_userbyid(known.proowner)::text AS owner, array_agg(DISTINCT run.name ORDER BY run.name) AS names,
  bit_or(run.events & (128)) AS events
FROM known JOIN run ON run.class = 'pg_proc'::regclass AND run.object = known.oid CROSS JOIN LATERAL (VALUES
  ('foreign-code', known."foreign"), ('needs-search-path', known.loose AND NOT run.pinned AND run.events <> 128)
) AS kind (slug, is_so)
WHERE kind.is_so GROUP BY kind.slug, known.oid, known.nspname, known.proowner ORDER BY 1, 2
  LOOP
    CONTINUE WHEN found.slug || ':' || found.function = ANY (accepted) OR found.events & 128 = 0
      AND (links < 0 OR links = 0 AND found.slug = 'needs-search-path');
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with -v %',
      found.slug, found.function, found.owner, array_to_string(found.names, ', '),
      CASE WHEN 'accept=' || found.slug || ':' || found.function ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || found.slug || ':' || found.function ELSE $q$'$q$ || replace('accept=' || found.slug || ':' || found.function, $q$'$q$, $q$'"'"'$q$) || $q$'$q$ END;
  END LOOP;
  IF errors > 0 THEN
    RAISE EXCEPTION 'nothing was changed: repair that and run the script again';
  END IF;
END $aoc_code$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_alembic_version"') IS NULL THEN
    CREATE TABLE <schema>."aoc_alembic_version" (
      version_num character varying(32) NOT NULL,
      CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num)
    );
    made := made || to_regclass('<schema>."aoc_alembic_version"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_log"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_log" (
      run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      command text NOT NULL,
      from_revision text NOT NULL,
      goal text,
      revision text,
      role text NOT NULL DEFAULT current_user,
      host text NOT NULL,
      image text,
      version text NOT NULL,
      server_version text NOT NULL DEFAULT current_setting('server_version'),
      pid integer NOT NULL DEFAULT pg_backend_pid(),
      started_at timestamp with time zone NOT NULL DEFAULT now(),
      seen_at timestamp with time zone NOT NULL DEFAULT now(),
      ended_at timestamp with time zone,
      outcome text,
      step text,
      findings text[] NOT NULL DEFAULT '{}',
      steps jsonb NOT NULL DEFAULT '[]',
      checksums jsonb NOT NULL DEFAULT '{}'
    );
    made := made || to_regclass('<schema>."aoc_migration_log"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO :"schema"."aoc_migration_hold" (command, revision, held_by, held_at, finished, acknowledged)
  SELECT 'constraints --remove', nullif(:'aoc_revision', ''), current_user || '@psql', now(), false, true
  ON CONFLICT (one) DO UPDATE SET command = excluded.command, revision = excluded.revision, held_by = excluded.held_by, held_at = excluded.held_at, finished = excluded.finished, acknowledged = excluded.acknowledged;

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0007 downgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_content_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43') THEN
          DROP FUNCTION <schema>."advisory_raw_content_ok_v1"(jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_content_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 4 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0004 downgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"') AND indrelid = to_regclass('<schema>."advisory_raw"') AND NOT indisvalid) AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."advisory_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NOT NULL THEN
    RAISE EXCEPTION 'advisory_raw_idempotency_v1 is INVALID, and % may be building it: let that end, and run this again',
      (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."advisory_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0004' AND NOT (value->>'index_found')::boolean) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY IF EXISTS :"schema"."advisory_raw_idempotency_v1";

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0004';

\endif

SELECT :aoc_position >= 3 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0003 downgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
        ADD CONSTRAINT advisory_raw_keys_v1 CHECK (<schema>."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
        ADD CONSTRAINT advisory_raw_objects_v1 CHECK (<schema>."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';
      COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';
      COMMENT ON CONSTRAINT advisory_raw_required_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, <schema>."aoc_migration_state"
          WHERE attrelid = '<schema>."advisory_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'concelier_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', '<schema>."advisory_raw"'::regclass, mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM <schema>."aoc_migration_state" WHERE name = 'concelier_0003';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 2 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0002 downgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql downgrade concelier_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0'), ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6'), ('advisory_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        DROP CONSTRAINT IF EXISTS advisory_raw_keys_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_objects_v1,
        DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
          DROP FUNCTION <schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_keys_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
          DROP FUNCTION <schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'advisory_raw_objects_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

INSERT INTO :"schema"."aoc_migration_hold" (command, revision, held_by, held_at, finished, acknowledged)
  SELECT 'constraints --remove', nullif(:'aoc_revision', ''), current_user || '@psql', now(), true, true
  ON CONFLICT (one) DO UPDATE SET command = excluded.command, revision = excluded.revision, held_by = excluded.held_by, held_at = excluded.held_at, finished = excluded.finished, acknowledged = excluded.acknowledged;
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."advisory_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'concelier is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\else
SET application_name TO 'aoc-migrate psql constraints concelier_0004';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."advisory_raw"'), (:'aoc_schema' || '."advisory"'), (:'aoc_schema' || '."advisory_backup_20251028"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('advisory_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' bears a name of ours, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
SELECT name, flaw, remedy FROM (VALUES ('aoc_alembic_version', to_regclass('<schema>."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', to_regclass('<schema>."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', to_regclass('<schema>."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', to_regclass('<schema>."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'steps jsonb', 'checksums jsonb']::text[], true), ('aoc_supersedes_journal', to_regclass('<schema>."aoc_supersedes_journal"'), ARRAY['batch bigint', 'ids text[]', 'old text[]', 'new text[]', 'written_at timestamp with time zone']::text[], true))
    AS w (name, oid, columns, exact) JOIN pg_class c ON c.oid = w.oid CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'concelier') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for concelier', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/concelier/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
  holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM (SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application,
  coalesce(a.usename, p.owner)::text AS role, p.gid,
  extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own
  ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction)
  ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = current_setting('aoc.lock')::bigint ORDER BY l.pid) AS held;
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we waited since %. Run it again later, or end that: %',
        holders, begun, ending;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 8 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to concelier_0008', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_hold"')) IS NOT NULL AS aoc_hold_there \gset
\if :aoc_hold_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_hold") AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  held_at, held_by, command) AS aoc_reason FROM :"schema"."aoc_migration_hold" \gset
\warn :aoc_reason
\quit
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; links bigint := -1; counted text; counts jsonb; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  IF to_regclass('<schema>."advisory_raw"') IS NOT NULL THEN
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."advisory_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0', $p$(coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)$p$),
      ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6', $p$coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$),
      ('advisory_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."advisory_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."advisory_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of advisory_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM <schema>."advisory_raw" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM <schema>."advisory_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT 1) AS d), 0) INTO rows;
    IF rows > 0 THEN
      errors := errors + 1;
      RAISE WARNING '% groups of rows of advisory_raw have one idempotency key (ERR_AOC_003)', rows;
    END IF;
  END IF;
  END IF;
  FOR found IN 
WITH RECURSIVE family AS (
  SELECT to_regclass('<schema>."advisory_raw"')::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
), parts (rel, class, object, name, events) AS NOT MATERIALIZED (
  SELECT g.tgrelid, 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & 28 | CASE WHEN g.tgtype & 16 <> 0
      AND (g.tgattr::text = '' OR (SELECT attnum FROM pg_attribute WHERE attrelid = g.tgrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (g.tgattr)) THEN 64 ELSE 0 END
  FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, 'rule ' || quote_ident(r.rulename),
    CASE r.ev_type WHEN '2' THEN 80 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END
  FROM pg_rewrite r WHERE r.ev_enabled IN ('O', 'A')
  UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid,
    CASE k.contype WHEN 'c' THEN 'CHECK ' ELSE 'foreign key ' END || quote_ident(k.conname), 84
  FROM pg_constraint k WHERE k.contype IN ('c', 'f')
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, k.conrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass,
    CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 8 ELSE 0 END
      | CASE WHEN k.confupdtype NOT IN ('c', 'n', 'd') THEN 0
        WHEN (SELECT attnum FROM pg_attribute WHERE attrelid = k.confrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (k.confkey) THEN 80 ELSE 16 END
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
  UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname), CASE WHEN a.attgenerated = '' THEN 4 ELSE 84 END
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT a.attrelid, 'pg_type'::regclass, a.atttypid, 'the type of column ' || quote_ident(a.attname),
    84
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'c'
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), 84
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE NOT x.relispartition
  UNION ALL SELECT t.partrelid, d.refclassid, d.refobjid, 'the partition key', 84
  FROM pg_partitioned_table t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.partrelid
  WHERE d.objsubid = 0 AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass)
  UNION ALL SELECT y.polrelid, 'pg_policy'::regclass, y.oid, 'policy ' || quote_ident(y.polname),
    92
  FROM pg_policy y WHERE row_security_active(y.polrelid)

), attached (name, events, class, object) AS (
  SELECT p.name, p.events, p.class, p.object FROM parts p JOIN family ON p.rel = family.oid
  UNION SELECT p.name, p.events, p.class, p.object FROM parts p
    JOIN pg_partition_ancestors(to_regclass('<schema>."advisory_raw"')) AS above (rel) ON p.rel = above.rel
  WHERE p.name = 'the partition key'
  UNION SELECT 'event trigger ' || quote_ident(evtname), 128, 'pg_event_trigger'::regclass, oid
  FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login'
), run (name, events, class, object, pinned) AS (
  SELECT name, events, class, object, false FROM attached WHERE events & (128) <> 0
  UNION SELECT run.name, run.events, inside.class, inside.object, run.pinned OR run.class = 'pg_proc'::regclass
    AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')))
  FROM run CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass
      AND c.oid = d.refobjid AND (run.class = 'pg_rewrite'::regclass
        OR run.class IN ('pg_proc'::regclass, 'pg_policy'::regclass) AND (c.relkind = 'v'
          OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND p.provolatile = 'v')))
    WHERE d.classid = run.class AND d.objid = run.object AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass) OR c.oid IS NOT NULL)
    UNION ALL SELECT p.class, p.object FROM parts p WHERE run.class = 'pg_class'::regclass AND p.rel = run.object
    UNION ALL SELECT 'pg_class'::regclass, inhrelid FROM pg_inherits
    WHERE run.class = 'pg_class'::regclass AND inhparent = run.object
    UNION ALL SELECT 'pg_type'::regclass, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
    WHERE run.class = 'pg_type'::regclass AND t.oid = run.object AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
    WHERE run.class = 'pg_type'::regclass AND contypid = run.object
    UNION ALL SELECT 'pg_proc'::regclass, amproc::oid FROM pg_opclass o JOIN pg_amproc ON amprocfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
    UNION ALL SELECT 'pg_operator'::regclass, amopopr FROM pg_opclass o JOIN pg_amop ON amopfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
  ) AS inside (class, object)
), known AS (
  SELECT p.oid, p.proowner, n.nspname, NOT pg_has_role(p.proowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE') AS "foreign",
    p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')) AS loose
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid IN (SELECT object FROM run WHERE class = 'pg_proc'::regclass)
    AND (encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = ANY (ARRAY['8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08', '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a', 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43']::text[])) IS NOT TRUE
)
SELECT kind.slug, known.oid::regprocedure::text AS function, known.nspname::text AS schema,
  pg_get_userbyid(known.proowner)::text AS owner, array_agg(DISTINCT run.name ORDER BY run.name) AS names,
  bit_or(run.events & (128)) AS events
FROM known JOIN run ON run.class = 'pg_proc'::regclass AND run.object = known.oid CROSS JOIN LATERAL (VALUES
  ('foreign-code', known."foreign"), ('needs-search-path', known.loose AND NOT run.pinned AND run.events <> 128)
) AS kind (slug, is_so)
WHERE kind.is_so GROUP BY kind.slug, known.oid, known.nspname, known.proowner ORDER BY 1, 2
  LOOP
    CONTINUE WHEN found.slug || ':' || found.function = ANY (accepted) OR found.events & 128 = 0
      AND (links < 0 OR links = 0 AND found.slug = 'needs-search-path');
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with -v %',
      found.slug, found.function, found.owner, array_to_string(found.names, ', '),
      CASE WHEN 'accept=' || found.slug || ':' || found.function ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || found.slug || ':' || found.function ELSE $q$'$q$ || replace('accept=' || found.slug || ':' || found.function, $q$'$q$, $q$'"'"'$q$) || $q$'$q$ END;
  END LOOP;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; links bigint := -1; counted text; counts jsonb; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  IF to_regclass('<schema>."advisory_raw"') IS NOT NULL THEN
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."advisory_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."advisory_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'advisory_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25', $p$coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."advisory_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."advisory_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of advisory_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
\endif
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_alembic_version"') IS NULL THEN
    CREATE TABLE <schema>."aoc_alembic_version" (
      version_num character varying(32) NOT NULL,
      CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num)
    );
    made := made || to_regclass('<schema>."aoc_alembic_version"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_log"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_log" (
      run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      command text NOT NULL,
      from_revision text NOT NULL,
      goal text,
      revision text,
      role text NOT NULL DEFAULT current_user,
      host text NOT NULL,
      image text,
      version text NOT NULL,
      server_version text NOT NULL DEFAULT current_setting('server_version'),
      pid integer NOT NULL DEFAULT pg_backend_pid(),
      started_at timestamp with time zone NOT NULL DEFAULT now(),
      seen_at timestamp with time zone NOT NULL DEFAULT now(),
      ended_at timestamp with time zone,
      outcome text,
      step text,
      findings text[] NOT NULL DEFAULT '{}',
      steps jsonb NOT NULL DEFAULT '[]',
      checksums jsonb NOT NULL DEFAULT '{}'
    );
    made := made || to_regclass('<schema>."aoc_migration_log"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints concelier_0004', (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1], (ARRAY['base', 'concelier_0001', 'concelier_0002', 'concelier_0003', 'concelier_0004', 'concelier_0005', 'concelier_0006', 'concelier_0007', 'concelier_0008'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('concelier_0001', '39e421b0791de4779197818808d19ec87f3c9e399085270842d673686bb9606f', 'concelier_0002', '521cc32da9e7575440ecdb5bd2941e5886e223f7fb9cc58f442b627913b3917c', 'concelier_0003', '1eff178f33775530aab41c85bcf53127815183068744d2ab9e4195de7a076eec', 'concelier_0004', '316f1ec752a22a1b46872cdd06bfa0e2218228cfa64b4c5c75f0a266ef4d8241', 'concelier_0007', 'fe526eb7a74d59b2a550a18c9a18a91e36b4e6205061818c78a8af818b9d71b2')
  RETURNING run AS aoc_run \gset


SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0001 upgrade: Baseline: the raw table and its supersedes column exist.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0001';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := ARRAY[to_regclass('<schema>."aoc_alembic_version"')]; entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'concelier') ON CONFLICT (name) DO NOTHING;

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'concelier_0001', jsonb_build_object('table_found', to_regclass((:'aoc_schema' || '."advisory_raw"')) IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS :"schema"."advisory_raw" (
  id text PRIMARY KEY,
  tenant text,
  source_vendor text,
  upstream_id text,
  content_hash text,
  retrieved_at timestamptz,
  source jsonb,
  upstream jsonb,
  linkset jsonb,
  content jsonb,
  identifiers jsonb,
  supersedes text,
  created_at timestamptz DEFAULT now()
);

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw" ADD COLUMN IF NOT EXISTS supersedes text;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."advisory_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO :"schema"."aoc_alembic_version" (version_num) SELECT 'concelier_0001' WHERE NOT EXISTS (SELECT FROM :"schema"."aoc_alembic_version");
\set aoc_position 1
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0002 upgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_keys_v1', 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0'), ('advisory_raw_objects_v1', 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) < 2 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
          RAISE EXCEPTION 'advisory_raw_keys_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
          RAISE EXCEPTION 'advisory_raw_objects_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        ADD CONSTRAINT advisory_raw_keys_v1 CHECK (<schema>."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        ADD CONSTRAINT advisory_raw_objects_v1 CHECK (<schema>."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';
      COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';
      COMMENT ON CONSTRAINT advisory_raw_required_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0002' WHERE version_num = 'concelier_0001';
\set aoc_position 2
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0003 upgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_keys_v1', 'advisory_raw_objects_v1', 'advisory_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."advisory_raw"
  VALIDATE CONSTRAINT advisory_raw_keys_v1,
  VALIDATE CONSTRAINT advisory_raw_objects_v1,
  VALIDATE CONSTRAINT advisory_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'concelier_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT 'concelier_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."advisory_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE <schema>."advisory_raw" ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE <schema>."advisory_raw" DROP CONSTRAINT IF EXISTS advisory_raw_required_v1;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0003' WHERE version_num = 'concelier_0002';
\set aoc_position 3
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0004 upgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'concelier_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"') AND indrelid = to_regclass('<schema>."advisory_raw"') AND NOT indisvalid) AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."advisory_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NOT NULL THEN
    RAISE EXCEPTION 'advisory_raw_idempotency_v1 is INVALID, and % may be building it: let that end, and run this again',
      (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."advisory_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) AND indrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND NOT indisvalid AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NULL) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY :"schema"."advisory_raw_idempotency_v1";

\endif

SELECT EXISTS (SELECT WHERE to_regclass((:'aoc_schema' || '."advisory_raw_idempotency_v1"')) IS NULL) AS aoc_needed \gset
\if :aoc_needed

CREATE UNIQUE INDEX CONCURRENTLY advisory_raw_idempotency_v1 ON :"schema"."advisory_raw" (tenant, source_vendor, upstream_id, content_hash);

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."advisory_raw_idempotency_v1"')
    AND indrelid = '<schema>."advisory_raw"'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'advisory_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'concelier_0004' WHERE version_num = 'concelier_0003';
\set aoc_position 4
\endif
\endif

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'concelier_0007 upgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql upgrade concelier_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('advisory_raw_content_v1', 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"'))) < 1 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."advisory_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."advisory_raw_content_ok_v1"(content jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."advisory_raw_content_ok_v1"(jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43') THEN
          RAISE EXCEPTION 'advisory_raw_content_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."advisory_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."advisory_raw"
        ADD CONSTRAINT advisory_raw_content_v1 CHECK (<schema>."advisory_raw_content_ok_v1"(content::jsonb)) NOT VALID;
      COMMENT ON CONSTRAINT advisory_raw_content_v1 ON <schema>."advisory_raw" IS 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'advisory_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'advisory_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."advisory_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."advisory_raw"')) AND conname IN ('advisory_raw_content_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."advisory_raw"
  VALIDATE CONSTRAINT advisory_raw_content_v1;

\endif

\endif

DELETE FROM :"schema"."aoc_migration_hold";
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."advisory_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('concelier is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'concelier is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\endif
\endif

SELECT :'aoc_target' = 'excititor' AS aoc_this \gset
\if :aoc_this
\if :aoc_remove
SET application_name TO 'aoc-migrate constraints --remove';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."vex_raw"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."vex_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' bears a name of ours, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
SELECT name, flaw, remedy FROM (VALUES ('aoc_alembic_version', to_regclass('<schema>."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', to_regclass('<schema>."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', to_regclass('<schema>."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', to_regclass('<schema>."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'steps jsonb', 'checksums jsonb']::text[], true), ('aoc_supersedes_journal', to_regclass('<schema>."aoc_supersedes_journal"'), ARRAY['batch bigint', 'ids text[]', 'old text[]', 'new text[]', 'written_at timestamp with time zone']::text[], true))
    AS w (name, oid, columns, exact) JOIN pg_class c ON c.oid = w.oid CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for excititor', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/excititor/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
  holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM (SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application,
  coalesce(a.usename, p.owner)::text AS role, p.gid,
  extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own
  ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction)
  ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = current_setting('aoc.lock')::bigint ORDER BY l.pid) AS held;
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we waited since %. Run it again later, or end that: %',
        holders, begun, ending;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif



SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_code$
#variable_conflict use_column
DECLARE
  errors int := 0; links bigint := -1; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  FOR found IN 
WITH RECURSIVE family AS (
  SELECT to_regclass('<schema>."vex_raw"')::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
), parts (rel, class, object, name, events) AS NOT MATERIALIZED (
  SELECT g.tgrelid, 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & 28 | CASE WHEN g.tgtype & 16 <> 0
      AND (g.tgattr::text = '' OR (SELECT attnum FROM pg_attribute WHERE attrelid = g.tgrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (g.tgattr)) THEN 64 ELSE 0 END
  FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, 'rule ' || quote_ident(r.rulename),
    CASE r.ev_type WHEN '2' THEN 80 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END
  FROM pg_rewrite r WHERE r.ev_enabled IN ('O', 'A')
  UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid,
    CASE k.contype WHEN 'c' THEN 'CHECK ' ELSE 'foreign key ' END || quote_ident(k.conname), 84
  FROM pg_constraint k WHERE k.contype IN ('c', 'f')
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, k.conrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass,
    CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 8 ELSE 0 END
      | CASE WHEN k.confupdtype NOT IN ('c', 'n', 'd') THEN 0
        WHEN (SELECT attnum FROM pg_attribute WHERE attrelid = k.confrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (k.confkey) THEN 80 ELSE 16 END
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
  UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname), CASE WHEN a.attgenerated = '' THEN 4 ELSE 84 END
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT a.attrelid, 'pg_type'::regclass, a.atttypid, 'the type of column ' || quote_ident(a.attname),
    84
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'c'
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), 84
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE NOT x.relispartition
  UNION ALL SELECT t.partrelid, d.refclassid, d.refobjid, 'the partition key', 84
  FROM pg_partitioned_table t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.partrelid
  WHERE d.objsubid = 0 AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass)
  UNION ALL SELECT y.polrelid, 'pg_policy'::regclass, y.oid, 'policy ' || quote_ident(y.polname),
    92
  FROM pg_policy y WHERE row_security_active(y.polrelid)

), attached (name, events, class, object) AS (
  SELECT p.name, p.events, p.class, p.object FROM parts p JOIN family ON p.rel = family.oid
  UNION SELECT p.name, p.events, p.class, p.object FROM parts p
    JOIN pg_partition_ancestors(to_regclass('<schema>."vex_raw"')) AS above (rel) ON p.rel = above.rel
  WHERE p.name = 'the partition key'
  UNION SELECT 'event trigger ' || quote_ident(evtname), 128, 'pg_event_trigger'::regclass, oid
  FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login'
), run (name, events, class, object, pinned) AS (
  SELECT name, events, class, object, false FROM attached WHERE events & (128) <> 0
  UNION SELECT run.name, run.events, inside.class, inside.object, run.pinned OR run.class = 'pg_proc'::regclass
    AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')))
  FROM run CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass
      AND c.oid = d.refobjid AND (run.class = 'pg_rewrite'::regclass
        OR run.class IN ('pg_proc'::regclass, 'pg_policy'::regclass) AND (c.relkind = 'v'
          OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND p.provolatile = 'v')))
    WHERE d.classid = run.class AND d.objid = run.object AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass) OR c.oid IS NOT NULL)
    UNION ALL SELECT p.class, p.object FROM parts p WHERE run.class = 'pg_class'::regclass AND p.rel = run.object
    UNION ALL SELECT 'pg_class'::regclass, inhrelid FROM pg_inherits
    WHERE run.class = 'pg_class'::regclass AND inhparent = run.object
    UNION ALL SELECT 'pg_type'::regclass, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
    WHERE run.class = 'pg_type'::regclass AND t.oid = run.object AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
    WHERE run.class = 'pg_type'::regclass AND contypid = run.object
    UNION ALL SELECT 'pg_proc'::regclass, amproc::oid FROM pg_opclass o JOIN pg_amproc ON amprocfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
    UNION ALL SELECT 'pg_operator'::regclass, amopopr FROM pg_opclass o JOIN pg_amop ON amopfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
  ) AS inside (class, object)
), known AS (
  SELECT p.oid, p.proowner, n.nspname, NOT pg_has_role(p.proowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE') AS "foreign",
    p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')) AS loose
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid IN (SELECT object FROM run WHERE class = 'pg_proc'::regclass)
    AND (encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = ANY (ARRAY['ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec', 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9', 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a']::text[])) IS NOT TRUE
)
SELECT kind.slug, known.oid::regprocedure::text AS function, known.nspname::text AS schema,
  pg_get_userbyid(known.proowner)::text AS owner, array_agg(DISTINCT run.name ORDER BY run.name) AS names,
  bit_or(run.events & (128)) AS events
FROM known JOIN run ON run.class = 'pg_proc'::regclass AND run.object = known.oid CROSS JOIN LATERAL (VALUES
  ('foreign-code', known."foreign"), ('needs-search-path', known.loose AND NOT run.pinned AND run.events <> 128)
) AS kind (slug, is_so)
WHERE kind.is_so GROUP BY kind.slug, known.oid, known.nspname, known.proowner ORDER BY 1, 2
  LOOP
    CONTINUE WHEN found.slug || ':' || found.function = ANY (accepted) OR found.events & 128 = 0
      AND (links < 0 OR links = 0 AND found.slug = 'needs-search-path');
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with -v %',
      found.slug, found.function, found.owner, array_to_string(found.names, ', '),
      CASE WHEN 'accept=' || found.slug || ':' || found.function ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || found.slug || ':' || found.function ELSE $q$'$q$ || replace('accept=' || found.slug || ':' || found.function, $q$'$q$, $q$'"'"'$q$) || $q$'$q$ END;
  END LOOP;
  IF errors > 0 THEN
    RAISE EXCEPTION 'nothing was changed: repair that and run the script again';
  END IF;
END $aoc_code$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_alembic_version"') IS NULL THEN
    CREATE TABLE <schema>."aoc_alembic_version" (
      version_num character varying(32) NOT NULL,
      CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num)
    );
    made := made || to_regclass('<schema>."aoc_alembic_version"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_log"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_log" (
      run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      command text NOT NULL,
      from_revision text NOT NULL,
      goal text,
      revision text,
      role text NOT NULL DEFAULT current_user,
      host text NOT NULL,
      image text,
      version text NOT NULL,
      server_version text NOT NULL DEFAULT current_setting('server_version'),
      pid integer NOT NULL DEFAULT pg_backend_pid(),
      started_at timestamp with time zone NOT NULL DEFAULT now(),
      seen_at timestamp with time zone NOT NULL DEFAULT now(),
      ended_at timestamp with time zone,
      outcome text,
      step text,
      findings text[] NOT NULL DEFAULT '{}',
      steps jsonb NOT NULL DEFAULT '[]',
      checksums jsonb NOT NULL DEFAULT '{}'
    );
    made := made || to_regclass('<schema>."aoc_migration_log"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'constraints --remove', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object()
  RETURNING run AS aoc_run \gset
INSERT INTO :"schema"."aoc_migration_hold" (command, revision, held_by, held_at, finished, acknowledged)
  SELECT 'constraints --remove', nullif(:'aoc_revision', ''), current_user || '@psql', now(), false, true
  ON CONFLICT (one) DO UPDATE SET command = excluded.command, revision = excluded.revision, held_by = excluded.held_by, held_at = excluded.held_at, finished = excluded.finished, acknowledged = excluded.acknowledged;

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0007 downgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_content_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
          DROP FUNCTION <schema>."vex_raw_content_ok_v1"(jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_content_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 4 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0004 downgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"') AND indrelid = to_regclass('<schema>."vex_raw"') AND NOT indisvalid) AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NOT NULL THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is INVALID, and % may be building it: let that end, and run this again',
      (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0004' AND NOT (value->>'index_found')::boolean) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY IF EXISTS :"schema"."vex_raw_idempotency_v1";

\endif

DELETE FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0004';

\endif

SELECT :aoc_position >= 3 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0003 downgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_keys_v1,
        ADD CONSTRAINT vex_raw_keys_v1 CHECK (<schema>."vex_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_objects_v1,
        ADD CONSTRAINT vex_raw_objects_v1 CHECK (<schema>."vex_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_keys_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8';
      COMMENT ON CONSTRAINT vex_raw_objects_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f';
      COMMENT ON CONSTRAINT vex_raw_required_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      DO $aoc$
      DECLARE mine record;
      BEGIN
        FOR mine IN SELECT attname FROM pg_attribute, <schema>."aoc_migration_state"
          WHERE attrelid = '<schema>."vex_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')
            AND name = 'excititor_0003' AND NOT value->'not_null' ? attname
        LOOP
          EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', '<schema>."vex_raw"'::regclass, mine.attname);
        END LOOP;
      END $aoc$;
      DELETE FROM <schema>."aoc_migration_state" WHERE name = 'excititor_0003';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

SELECT :aoc_position >= 2 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0002 downgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql downgrade excititor_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8'), ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f'), ('vex_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) > 0 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        DROP CONSTRAINT IF EXISTS vex_raw_keys_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_objects_v1,
        DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
          DROP FUNCTION <schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_keys_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
          DROP FUNCTION <schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb);
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE WARNING 'vex_raw_objects_ok_v1 is kept: %', SQLERRM;
      END $aoc$;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

\endif

INSERT INTO :"schema"."aoc_migration_hold" (command, revision, held_by, held_at, finished, acknowledged)
  SELECT 'constraints --remove', nullif(:'aoc_revision', ''), current_user || '@psql', now(), true, true
  ON CONFLICT (one) DO UPDATE SET command = excluded.command, revision = excluded.revision, held_by = excluded.held_by, held_at = excluded.held_at, finished = excluded.finished, acknowledged = excluded.acknowledged;
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."vex_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'excititor is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\else
SET application_name TO 'aoc-migrate psql constraints excititor_0004';
SELECT statement_timestamp() <> transaction_timestamp() AS aoc_refused,
  set_config('aoc.reason', coalesce('this script commits by itself: run it without psql -1, with AUTOCOMMIT on', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('server_version_num')::int < 150000 AS aoc_refused,
  set_config('aoc.reason', coalesce('PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT pg_is_in_recovery() AS aoc_refused,
  set_config('aoc.reason', coalesce('this is a standby: run the script on the primary', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT current_setting('transaction_read_only')::boolean AS aoc_refused,
  set_config('aoc.reason', coalesce('this role may only read', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT to_regnamespace(:'aoc_schema') IS NULL AS aoc_refused,
  set_config('aoc.reason', coalesce(format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$I', :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT NOT has_schema_privilege(to_regnamespace(:'aoc_schema'), 'CREATE') AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s may not create in schema %s', current_user, :'schema'), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM unnest(ARRAY[(:'aoc_schema' || '."vex_raw"')]) AS t JOIN pg_class ON oid = to_regclass(t) WHERE NOT pg_has_role(relowner, 'USAGE')) AS aoc_refused,
  set_config('aoc.reason', coalesce(format('role %s has not the rights of the owner of the tables', current_user), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND oid = to_regclass((:'aoc_schema' || '."vex_raw"'))) AS aoc_refused,
  set_config('aoc.reason', coalesce('vex_raw is partitioned, and this script does not build indexes partition by partition: run aoc-migrate itself', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE found text := (SELECT string_agg(name || ' bears a name of ours, but ' || flaw || '. Find out who made it, and what for. ' || remedy, ' ') FROM (
SELECT name, flaw, remedy FROM (VALUES ('aoc_alembic_version', to_regclass('<schema>."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', to_regclass('<schema>."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', to_regclass('<schema>."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', to_regclass('<schema>."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text', 'goal text', 'revision text', 'role text', 'host text', 'image text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone', 'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'steps jsonb', 'checksums jsonb']::text[], true), ('aoc_supersedes_journal', to_regclass('<schema>."aoc_supersedes_journal"'), ARRAY['batch bigint', 'ids text[]', 'old text[]', 'new text[]', 'written_at timestamp with time zone']::text[], true))
    AS w (name, oid, columns, exact) JOIN pg_class c ON c.oid = w.oid CROSS JOIN LATERAL (
  SELECT CASE
    WHEN c.relkind <> 'r' OR c.relpersistence <> 'p' THEN 'it is not an ordinary table'
    WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE')
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
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_state"')) IS NOT NULL AS aoc_state_there \gset
\if :aoc_state_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'target' AND value->>'name' <> 'excititor') AS aoc_refused,
  set_config('aoc.reason', coalesce('the history of another target stands in this schema: this script is for excititor', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif
\endif

SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  'aoc-migrate/excititor/' || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_lock \gset
DO $aoc$
DECLARE
  begun timestamptz := clock_timestamp();
  told timestamptz := clock_timestamp() - interval '1 minute';
  holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM (SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application,
  coalesce(a.usename, p.owner)::text AS role, p.gid,
  extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own
  ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction)
  ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = current_setting('aoc.lock')::bigint ORDER BY l.pid) AS held;
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we waited since %. Run it again later, or end that: %',
        holders, begun, ending;
    ELSIF clock_timestamp() - told > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      told := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $aoc$;

SELECT to_regclass((:'aoc_schema' || '."aoc_alembic_version"')) IS NOT NULL AS aoc_version_there \gset
\set aoc_revision ''
\if :aoc_version_there
SELECT coalesce(string_agg(version_num, ', '), '') AS aoc_revision FROM :"schema"."aoc_alembic_version" \gset
\endif
SELECT coalesce(array_position(ARRAY['', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'], :'aoc_revision'), 0) - 1 AS aoc_position \gset
SELECT NOT :aoc_position BETWEEN 0 AND 7 AS aoc_refused,
  set_config('aoc.reason', coalesce(format('the database is at %s; this script starts from base to excititor_0007', coalesce(nullif(:'aoc_revision', ''), 'base')), ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

\set aoc_held false
SELECT to_regclass((:'aoc_schema' || '."aoc_migration_hold"')) IS NOT NULL AS aoc_hold_there \gset
\if :aoc_hold_there
SELECT EXISTS (SELECT FROM :"schema"."aoc_migration_hold") AS aoc_held \gset
\endif
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop \gset
\if :aoc_stop
SELECT format('held since %s by %s after %s: nothing was changed; to go on: -v release_hold=1',
  held_at, held_by, command) AS aoc_reason FROM :"schema"."aoc_migration_hold" \gset
\warn :aoc_reason
\quit
\endif


SELECT true AS aoc_left \gset
\if :aoc_left
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; links bigint := -1; counted text; counts jsonb; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  IF to_regclass('<schema>."vex_raw"') IS NOT NULL THEN
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."vex_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8', $p$(coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)$p$),
      ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f', $p$coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$),
      ('vex_raw_required_v1', 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."vex_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."vex_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of vex_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  SELECT count(*) INTO rows FROM pg_index
    WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"') AND indisvalid;
  IF rows = 0 THEN
    SELECT coalesce((SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM <schema>."vex_raw" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM <schema>."vex_raw" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT 1) AS d), 0) INTO rows;
    IF rows > 0 THEN
      errors := errors + 1;
      RAISE WARNING '% groups of rows of vex_raw have one idempotency key (ERR_AOC_003)', rows;
    END IF;
  END IF;
  END IF;
  FOR found IN 
WITH RECURSIVE family AS (
  SELECT to_regclass('<schema>."vex_raw"')::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
), parts (rel, class, object, name, events) AS NOT MATERIALIZED (
  SELECT g.tgrelid, 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & 28 | CASE WHEN g.tgtype & 16 <> 0
      AND (g.tgattr::text = '' OR (SELECT attnum FROM pg_attribute WHERE attrelid = g.tgrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (g.tgattr)) THEN 64 ELSE 0 END
  FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, 'rule ' || quote_ident(r.rulename),
    CASE r.ev_type WHEN '2' THEN 80 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END
  FROM pg_rewrite r WHERE r.ev_enabled IN ('O', 'A')
  UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid,
    CASE k.contype WHEN 'c' THEN 'CHECK ' ELSE 'foreign key ' END || quote_ident(k.conname), 84
  FROM pg_constraint k WHERE k.contype IN ('c', 'f')
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, k.conrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass,
    CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 8 ELSE 0 END
      | CASE WHEN k.confupdtype NOT IN ('c', 'n', 'd') THEN 0
        WHEN (SELECT attnum FROM pg_attribute WHERE attrelid = k.confrelid AND attname = 'supersedes' AND NOT attisdropped) = ANY (k.confkey) THEN 80 ELSE 16 END
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
  UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname), CASE WHEN a.attgenerated = '' THEN 4 ELSE 84 END
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT a.attrelid, 'pg_type'::regclass, a.atttypid, 'the type of column ' || quote_ident(a.attname),
    84
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'c'
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), 84
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE NOT x.relispartition
  UNION ALL SELECT t.partrelid, d.refclassid, d.refobjid, 'the partition key', 84
  FROM pg_partitioned_table t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.partrelid
  WHERE d.objsubid = 0 AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass)
  UNION ALL SELECT y.polrelid, 'pg_policy'::regclass, y.oid, 'policy ' || quote_ident(y.polname),
    92
  FROM pg_policy y WHERE row_security_active(y.polrelid)

), attached (name, events, class, object) AS (
  SELECT p.name, p.events, p.class, p.object FROM parts p JOIN family ON p.rel = family.oid
  UNION SELECT p.name, p.events, p.class, p.object FROM parts p
    JOIN pg_partition_ancestors(to_regclass('<schema>."vex_raw"')) AS above (rel) ON p.rel = above.rel
  WHERE p.name = 'the partition key'
  UNION SELECT 'event trigger ' || quote_ident(evtname), 128, 'pg_event_trigger'::regclass, oid
  FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login'
), run (name, events, class, object, pinned) AS (
  SELECT name, events, class, object, false FROM attached WHERE events & (128) <> 0
  UNION SELECT run.name, run.events, inside.class, inside.object, run.pinned OR run.class = 'pg_proc'::regclass
    AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')))
  FROM run CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass
      AND c.oid = d.refobjid AND (run.class = 'pg_rewrite'::regclass
        OR run.class IN ('pg_proc'::regclass, 'pg_policy'::regclass) AND (c.relkind = 'v'
          OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND p.provolatile = 'v')))
    WHERE d.classid = run.class AND d.objid = run.object AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass) OR c.oid IS NOT NULL)
    UNION ALL SELECT p.class, p.object FROM parts p WHERE run.class = 'pg_class'::regclass AND p.rel = run.object
    UNION ALL SELECT 'pg_class'::regclass, inhrelid FROM pg_inherits
    WHERE run.class = 'pg_class'::regclass AND inhparent = run.object
    UNION ALL SELECT 'pg_type'::regclass, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
    WHERE run.class = 'pg_type'::regclass AND t.oid = run.object AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
    WHERE run.class = 'pg_type'::regclass AND contypid = run.object
    UNION ALL SELECT 'pg_proc'::regclass, amproc::oid FROM pg_opclass o JOIN pg_amproc ON amprocfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
    UNION ALL SELECT 'pg_operator'::regclass, amopopr FROM pg_opclass o JOIN pg_amop ON amopfamily = opcfamily
    WHERE run.class = 'pg_opclass'::regclass AND o.oid = run.object
  ) AS inside (class, object)
), known AS (
  SELECT p.oid, p.proowner, n.nspname, NOT pg_has_role(p.proowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE') AS "foreign",
    p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path=')) AS loose
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid IN (SELECT object FROM run WHERE class = 'pg_proc'::regclass)
    AND (encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = ANY (ARRAY['ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec', 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9', 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a']::text[])) IS NOT TRUE
)
SELECT kind.slug, known.oid::regprocedure::text AS function, known.nspname::text AS schema,
  pg_get_userbyid(known.proowner)::text AS owner, array_agg(DISTINCT run.name ORDER BY run.name) AS names,
  bit_or(run.events & (128)) AS events
FROM known JOIN run ON run.class = 'pg_proc'::regclass AND run.object = known.oid CROSS JOIN LATERAL (VALUES
  ('foreign-code', known."foreign"), ('needs-search-path', known.loose AND NOT run.pinned AND run.events <> 128)
) AS kind (slug, is_so)
WHERE kind.is_so GROUP BY kind.slug, known.oid, known.nspname, known.proowner ORDER BY 1, 2
  LOOP
    CONTINUE WHEN found.slug || ':' || found.function = ANY (accepted) OR found.events & 128 = 0
      AND (links < 0 OR links = 0 AND found.slug = 'needs-search-path');
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with -v %',
      found.slug, found.function, found.owner, array_to_string(found.names, ', '),
      CASE WHEN 'accept=' || found.slug || ':' || found.function ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || found.slug || ':' || found.function ELSE $q$'$q$ || replace('accept=' || found.slug || ':' || found.function, $q$'$q$, $q$'"'"'$q$) || $q$'$q$ END;
  END LOOP;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
SELECT replace(replace($aoc_block$
DO $aoc_audit$
#variable_conflict use_column
DECLARE
  errors int := 0; rows bigint; links bigint := -1; counted text; counts jsonb; found record;
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|needs-search-path|swap-conflict|move-trigger):)');
BEGIN
  IF to_regclass('<schema>."vex_raw"') IS NOT NULL THEN
  SELECT string_agg(name, ', ') INTO counted FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."vex_raw"') AND attname = name
      AND NOT attisdropped);
  IF counted IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass('<schema>."vex_raw"')) <> 'r' THEN
    RAISE EXCEPTION 'vex_raw is not the table that the contract knows; it lacks: %',
      coalesce(counted, 'being a plain table');
  END IF;
  SELECT string_agg(format(
      'count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER (WHERE NOT (%1$s))) AS %3$I',
      predicate, name, name || ' id'), ', ') INTO counted
    FROM (VALUES
      ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d', $p$coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$)
    ) AS rule (name, signed, predicate) WHERE NOT EXISTS (SELECT FROM pg_constraint c
      WHERE c.conrelid = to_regclass('<schema>."vex_raw"') AND c.conname = name AND c.convalidated
        AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = signed);
  IF counted IS NOT NULL THEN
    EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, '<schema>."vex_raw"') INTO counts;
    FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
      WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
    LOOP
      errors := errors + 1;
      RAISE WARNING '% rows of vex_raw break %, for example id %', found.value, found.key, found.example;
    END LOOP;
  END IF;
  END IF;
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors and nothing was changed: mend them and run the script again', errors;
  END IF;
END $aoc_audit$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
\endif
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_alembic_version"') IS NULL THEN
    CREATE TABLE <schema>."aoc_alembic_version" (
      version_num character varying(32) NOT NULL,
      CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY (version_num)
    );
    made := made || to_regclass('<schema>."aoc_alembic_version"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_log"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_log" (
      run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      command text NOT NULL,
      from_revision text NOT NULL,
      goal text,
      revision text,
      role text NOT NULL DEFAULT current_user,
      host text NOT NULL,
      image text,
      version text NOT NULL,
      server_version text NOT NULL DEFAULT current_setting('server_version'),
      pid integer NOT NULL DEFAULT pg_backend_pid(),
      started_at timestamp with time zone NOT NULL DEFAULT now(),
      seen_at timestamp with time zone NOT NULL DEFAULT now(),
      ended_at timestamp with time zone,
      outcome text,
      step text,
      findings text[] NOT NULL DEFAULT '{}',
      steps jsonb NOT NULL DEFAULT '[]',
      checksums jsonb NOT NULL DEFAULT '{}'
    );
    made := made || to_regclass('<schema>."aoc_migration_log"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, version, checksums)
  SELECT 'psql constraints excititor_0004', (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1], (ARRAY['base', 'excititor_0001', 'excititor_0002', 'excititor_0003', 'excititor_0004', 'excititor_0005', 'excititor_0006', 'excititor_0007'])[:aoc_position + 1],
    coalesce(host(inet_client_addr()), 'local'), '0.1.0', jsonb_build_object('excititor_0001', '943a2ace7bc4440fa3391cfcdb37a59a4c3c636e0ea68a7963936bb455ebadfe', 'excititor_0002', '53a2937a0ca8f18e8102008860631666a690c2f5415aa422798547336a5f8961', 'excititor_0003', 'c3bfe73b1b6df17f35722f004ab6a6f2759795df2476b22689ef30430c9538a3', 'excititor_0004', '2d3226a49a1d3811d1133c1cdf77aab66d2bccf26dde1c24cfdc93c7cc63ade2', 'excititor_0007', '3a5a3ebf10f81c7969ed7aea1d4798ec3990968073023935dd5eb20d3b5d28ce')
  RETURNING run AS aoc_run \gset


SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0001 upgrade: Baseline: the raw table and its supersedes column exist.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0001';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := ARRAY[to_regclass('<schema>."aoc_alembic_version"')]; entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE made oid[] := '{}'; entry record;
BEGIN
  IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_state" (
      name text PRIMARY KEY,
      value jsonb NOT NULL,
      recorded_at timestamp with time zone NOT NULL DEFAULT now()
    );
    made := made || to_regclass('<schema>."aoc_migration_state"')::oid;
  END IF;
  IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN
    CREATE TABLE <schema>."aoc_migration_hold" (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      command text NOT NULL,
      revision text,
      held_by text NOT NULL,
      held_at timestamp with time zone NOT NULL DEFAULT now(),
      finished boolean NOT NULL,
      acknowledged boolean NOT NULL
    );
    made := made || to_regclass('<schema>."aoc_migration_hold"')::oid;
  END IF;
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', 'excititor') ON CONFLICT (name) DO NOTHING;

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'excititor_0001', jsonb_build_object('table_found', to_regclass((:'aoc_schema' || '."vex_raw"')) IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND attname = 'supersedes')) ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS :"schema"."vex_raw" (
  id text PRIMARY KEY,
  tenant text,
  source_vendor text,
  upstream_id text,
  content_hash text,
  retrieved_at timestamptz,
  source jsonb,
  upstream jsonb,
  linkset jsonb,
  content jsonb,
  identifiers jsonb,
  supersedes text,
  created_at timestamptz DEFAULT now()
);

SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND attname = 'supersedes') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw" ADD COLUMN IF NOT EXISTS supersedes text;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."vex_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 1 AS aoc_due \gset
\if :aoc_due
INSERT INTO :"schema"."aoc_alembic_version" (version_num) SELECT 'excititor_0001' WHERE NOT EXISTS (SELECT FROM :"schema"."aoc_alembic_version");
\set aoc_position 1
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0002 upgrade: Guard new rows: every rule but the one on content, as CHECK NOT VALID.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0002';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_keys_v1', 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8'), ('vex_raw_objects_v1', 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) < 2 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec') THEN
          RAISE EXCEPTION 'vex_raw_keys_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9') THEN
          RAISE EXCEPTION 'vex_raw_objects_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        ADD CONSTRAINT vex_raw_keys_v1 CHECK (<schema>."vex_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
        ADD CONSTRAINT vex_raw_objects_v1 CHECK (<schema>."vex_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
        ADD CONSTRAINT vex_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_keys_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8';
      COMMENT ON CONSTRAINT vex_raw_objects_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f';
      COMMENT ON CONSTRAINT vex_raw_required_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 2 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0002' WHERE version_num = 'excititor_0001';
\set aoc_position 2
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0003 upgrade: Prove existing rows: validate the CHECKs in one scan, then NOT NULL without another.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0003';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_keys_v1', 'vex_raw_objects_v1', 'vex_raw_required_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_keys_v1,
  VALIDATE CONSTRAINT vex_raw_objects_v1,
  VALIDATE CONSTRAINT vex_raw_required_v1;

\endif

SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND NOT attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset')) OR (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_required_v1') AND true) > 0 OR NOT EXISTS (SELECT FROM :"schema"."aoc_migration_state" WHERE name = 'excititor_0003') AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT 'excititor_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."vex_raw"'::regclass AND attnotnull AND attname IN ('tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset'))) ON CONFLICT (name) DO NOTHING;
      ALTER TABLE <schema>."vex_raw" ALTER tenant SET NOT NULL, ALTER source_vendor SET NOT NULL, ALTER upstream_id SET NOT NULL, ALTER content_hash SET NOT NULL, ALTER retrieved_at SET NOT NULL, ALTER source SET NOT NULL, ALTER upstream SET NOT NULL, ALTER linkset SET NOT NULL;
      ALTER TABLE <schema>."vex_raw" DROP CONSTRAINT IF EXISTS vex_raw_required_v1;
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT :aoc_position < 3 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0003' WHERE version_num = 'excititor_0002';
\set aoc_position 3
\endif
\endif

SELECT true AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0004 upgrade: Idempotency index: one row per tenant, vendor, upstream id and content hash.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0004';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

INSERT INTO :"schema"."aoc_migration_state" (name, value) SELECT 'excititor_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) AND indisvalid)) ON CONFLICT (name) DO NOTHING;

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"') AND indrelid = to_regclass('<schema>."vex_raw"') AND NOT indisvalid) AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NOT NULL THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is INVALID, and % may be building it: let that end, and run this again',
      (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass('<schema>."vex_raw"') AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) AND indrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND NOT indisvalid AND (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE relation = to_regclass((:'aoc_schema' || '."vex_raw"')) AND mode = 'ShareUpdateExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) IS NULL) AS aoc_needed \gset
\if :aoc_needed

DROP INDEX CONCURRENTLY :"schema"."vex_raw_idempotency_v1";

\endif

SELECT EXISTS (SELECT WHERE to_regclass((:'aoc_schema' || '."vex_raw_idempotency_v1"')) IS NULL) AS aoc_needed \gset
\if :aoc_needed

CREATE UNIQUE INDEX CONCURRENTLY vex_raw_idempotency_v1 ON :"schema"."vex_raw" (tenant, source_vendor, upstream_id, content_hash);

\endif

SELECT replace(replace($aoc_block$
DO $aoc$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."vex_raw_idempotency_v1"')
    AND indrelid = '<schema>."vex_raw"'::regclass AND indisvalid AND indisunique = true
    AND replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') LIKE '% USING btree (tenant, source_vendor, upstream_id, content_hash)') THEN
    RAISE EXCEPTION 'vex_raw_idempotency_v1 is not the index that the contract asks for';
  END IF;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

SELECT :aoc_position < 4 AS aoc_due \gset
\if :aoc_due
UPDATE :"schema"."aoc_alembic_version" SET version_num = 'excititor_0004' WHERE version_num = 'excititor_0003';
\set aoc_position 4
\endif
\endif

SELECT :aoc_position >= 7 AS aoc_due \gset
\if :aoc_due
\echo 'excititor_0007 upgrade: Guard content: no forbidden key at the top level of content, for new and old rows.'
SET application_name TO 'aoc-migrate psql upgrade excititor_0007';
SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) AS aoc_refused,
  set_config('aoc.reason', coalesce('the lock is not ours any more: connect to PostgreSQL directly, not through a pooler', ''), false) AS aoc_reason \gset
\if :aoc_refused
DO $aoc$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $aoc$;
\endif

SELECT (SELECT count(*) FROM pg_constraint c JOIN (VALUES ('vex_raw_content_v1', 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d')) AS wanted (name, signature) ON c.conname = wanted.name AND obj_description(c.oid, 'pg_constraint') = wanted.signature AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.', 'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = wanted.signature WHERE c.conrelid = to_regclass((:'aoc_schema' || '."vex_raw"'))) < 1 AS aoc_needed \gset
\if :aoc_needed

SELECT replace(replace($aoc_block$
DO $aoc_step$
DECLARE
  aoc_begun timestamptz := clock_timestamp();
  aoc_pause float8 := 1;
  aoc_reason text;
BEGIN
  LOOP
    BEGIN
      DO $aoc$
      DECLARE found oid := to_regprocedure('<schema>."vex_raw_content_ok_v1"(jsonb)');
      BEGIN
        IF found IS NULL THEN
          CREATE FUNCTION <schema>."vex_raw_content_ok_v1"(content jsonb) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
            AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
          GRANT EXECUTE ON FUNCTION <schema>."vex_raw_content_ok_v1"(jsonb) TO PUBLIC;
        ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('<schema>."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
          RAISE EXCEPTION 'vex_raw_content_ok_v1 is not the function that the contract asks for';
        END IF;
      END $aoc$;
      SET LOCAL lock_timeout = '5000ms';
      LOCK TABLE <schema>."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;
      SET LOCAL lock_timeout = '100ms';
      SET LOCAL synchronous_commit = off;
      LOCK TABLE <schema>."vex_raw" IN ACCESS EXCLUSIVE MODE;
      ALTER TABLE <schema>."vex_raw"
        ADD CONSTRAINT vex_raw_content_v1 CHECK (<schema>."vex_raw_content_ok_v1"(content::jsonb)) NOT VALID;
      COMMENT ON CONSTRAINT vex_raw_content_v1 ON <schema>."vex_raw" IS 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d';
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      aoc_reason := SQLERRM;
    END;
    IF clock_timestamp() - aoc_begun > interval '600.0 s' THEN
      RAISE EXCEPTION 'vex_raw: gave up (%). Locked by %. Run the script again to go on.', aoc_reason,
        (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    END IF;
    RAISE WARNING 'vex_raw: a try gave up (%). Locked by %.', aoc_reason,
      (SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid,
          a.usename, a.application_name, date_trunc('second', now() - a.xact_start)),
          'a prepared transaction'), '; '), 'nobody now')
          FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.relation = to_regclass('<schema>."vex_raw"') AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid());
    COMMIT;
    PERFORM pg_sleep(aoc_pause * (0.5 + random() / 2));
    aoc_pause := least(aoc_pause * 2, 5);
  END LOOP;
END $aoc_step$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec

\endif

SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass((:'aoc_schema' || '."vex_raw"')) AND conname IN ('vex_raw_content_v1') AND NOT convalidated) > 0 AS aoc_needed \gset
\if :aoc_needed

ALTER TABLE :"schema"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_content_v1;

\endif

\endif

DELETE FROM :"schema"."aoc_migration_hold";
SELECT replace(replace($aoc_block$
DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass('<schema>."vex_raw"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"'))
      AND NOT has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$
$aoc_block$,
  '''<schema>.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '<schema>', :'aoc_schema') \gexec
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base'), ended_at = now(), seen_at = now()
  WHERE run = :aoc_run;
SELECT format('excititor is at %s', coalesce((SELECT version_num FROM :"schema"."aoc_alembic_version"), 'base')) AS aoc_reason \gset
\echo :aoc_reason
\else
\echo 'excititor is there already: nothing to do'
\endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_unlocked \gset
\endif
\endif
