-- AOC constraints of concelier or excititor. Made by aoc-migrate 0.1.0 for PostgreSQL 15 and newer.
--
--   psql -X -d DATABASE -f THIS.sql         or on stdin: psql -X -d DATABASE < THIS.sql
--
-- Constraints and idempotency index, as `aoc-migrate upgrade TARGET REVISION` leaves them at concelier_0004 or excititor_0004.
-- The guard of the column content comes after the backfill, because it would slow it down: with the
-- upgrade to head, or here if no row needs the backfill.
--
--   -v remove=1           remove constraints and idempotency index, then hold the database there
--   -v content=1          guard content now, even if rows need the backfill
--   -v target=NAME        concelier or excititor; by default, the one whose raw table is there
--   -v schema=NAME        schema of the tables
--   -v release_hold=1     upgrade even though a rollback holds the database
--   -v accept=SLUG:OBJECT findings to accept, separated by commas
--   -v ticket=NAME        change ticket, such as CHG-1234, for the ledger
--
-- It commits on its own: never run it with psql -1. After an interruption, run it again to resume.
-- Exit code 0: done, nothing to do, or held. 3: refused or failed; stderr says why.
-- It waits at most 100 ms for a strong lock, so other sessions wait no longer for it; under that lock, it
-- changes only the catalog. It retries for up to 600 s.

\set ON_ERROR_STOP on
\set QUIET on \set VERBOSITY terse \set SHOW_CONTEXT never
\pset tuples_only on \pset format unaligned \pset pager off
\if :{?schema} \else \set schema 'public' \endif
\if :{?retrofit} \else \set retrofit 0 \endif
\if :{?release_hold} \else \set release_hold 0 \endif
\if :{?accept} \else \set accept '' \endif
\if :{?ticket} \else \set ticket '' \endif
\if :{?remove} \else \set remove 0 \endif
\if :{?content} \else \set content 0 \endif
\if :{?target} \else \set target '' \endif

-- ---- Override settings of the role, the database and PGOPTIONS.

SET search_path = pg_catalog, pg_temp; DO $aoc$ BEGIN PERFORM set_config(coalesce(name, ours), wanted, false) FROM (VALUES ('exit_on_error', 'off'), ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
  ('transaction_timeout', '0'), ('client_connection_check_interval', '5s'), ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), ('client_min_messages', 'warning'), ('log_parameter_max_length_on_error', '0'),
  ('check_function_bodies', 'on'), ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'), ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'), ('row_security', 'off'), ('restrict_nonsystem_relation_kind',
  ''), ('gin_fuzzy_search_limit', '0'), ('transform_null_equals', 'off'), ('jit', 'off'), ('client_encoding', 'UTF8'), ('standard_conforming_strings', 'on'), ('backslash_quote', 'safe_encoding'), ('array_nulls', 'on'), ('xmloption', 'content'),
  ('quote_all_identifiers', 'off'), ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lock_timeout', '600.0s') ) AS ours (ours, wanted) LEFT JOIN
  pg_settings ON lower(name) = lower(ours) WHERE name IS NOT NULL OR ours ^@ 'plpgsql.'; END $aoc$;
SELECT set_config('aoc.schema', quote_ident(:'schema'), false) AS aoc_x, set_config('aoc.triggers', '', false) AS aoc_x,
  set_config('aoc.accept', :'accept', false) AS aoc_x, set_config('aoc.ticket', :'ticket', false) AS aoc_x,
  set_config('aoc.pid', pg_backend_pid()::text, false) AS aoc_x,
  set_config('aoc.allow_supersedes_retrofit', (:'retrofit'::boolean)::text, false) AS aoc_x,
  :'release_hold'::boolean AS release_hold \gset

-- ---- Find out which target this is: the named one, or the one whose raw table is in the schema.

SELECT coalesce(nullif(:'target', ''), (SELECT string_agg(target, ' and ') FROM (VALUES ('concelier', 'advisory_raw'), ('excititor', 'vex_raw')) AS known (target, name) WHERE to_regclass(current_setting('aoc.schema') || '.' || name) IS NOT NULL), '') AS aoc_target,
  :'remove'::boolean AS aoc_remove, :'content'::boolean AS aoc_content \gset
SELECT set_config('aoc.reason', CASE WHEN :'target' <> '' THEN format('target is concelier or excititor, not %s', :'target') ELSE format('schema %s of database %s '
  'holds %s: choose with -v target=NAME, which is concelier or excititor', :'schema', current_database(), CASE :'aoc_target' WHEN '' THEN 'neither raw table' ELSE
  'the raw tables of ' || :'aoc_target' END) END, false) AS aoc_x, :'aoc_target' NOT IN ('concelier', 'excititor') AS aoc_refused, :'aoc_target' = 'concelier' AS aoc_first \gset \if :aoc_refused
DO $$ BEGIN RAISE EXCEPTION '%', current_setting('aoc.reason'); END $$;
\endif
-- Names, and the hashes with which verify recognizes constraints (signature), functions (digest) and revisions (sums).
\if :aoc_first \set aoc_marks '{"sums": {"concelier_0001": "0589cd0e2c3fe8897ab1beef7efa12616c91fcca60364c01e5e43dbc34f5a8a3", "concelier_0002": "6a3e563b4f389ccd6746a7d6e5d762d7ecb4df5553ec01b8c1a45257b82639a4", "concelier_0003": "ad89d6db7882b6f88488c9e3da6a1490dfddb70c500d66c1d4a2a53f3514c8e1", "concelier_0004": "ff9c49375c3654346e0bc70d61c904c6733d5431fff1dd9b49ccbbfa06504109", "concelier_0007": "4244b1b015936f0dcd86e8e81d3b367da3457eca2e199928e99511322badb9d4"}, "keys signature": "0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0", "keys digest": "8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08", "objects signature": "48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6", "objects digest": "0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a", "required signature": "6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8", "content signature": "aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25", "content digest": "f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43", "table": "advisory_raw", "target": "concelier"}'
\else \set aoc_marks '{"sums": {"excititor_0001": "4938d0706e6826edd1938a183629ea7f517478154b4cbb421ab2d9e74d84efd2", "excititor_0002": "0a3bb19a0a24037a96bcfecb112aa7e065d8c688520b1c5ca0ec181598f8fe53", "excititor_0003": "b78686b4d0548a2cd6fe936e7d9a5d8f67c99beb223b3de449870bd0cf1f82ca", "excititor_0004": "235569a8b87a41a90c8e104521fb70abaa575608175b569d15b87ce9276dd39f", "excititor_0007": "3046d449d21e10ef7f9c7a495804e891b64dc850df4b1a7daedb0dedaffeadcc"}, "keys signature": "2c975032cdeb56f6a045a475d436e18674812dd9e5c60f87723ea8bff2bc24e8", "keys digest": "ceb428c6a010c446faf32aefbb4111b32d33ea784dbccb796e1c5cf1856110ec", "objects signature": "c74d9639a9d844df0ef49147ccad4fddf556075aa4ba62b105aff56c3cf8289f", "objects digest": "a1cebae4478de22cd5aeeb16ce029fd0bd94e6351d08980268d87c04fb3744c9", "required signature": "6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8", "content signature": "04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d", "content digest": "f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a", "table": "vex_raw", "target": "excititor"}' \endif
SELECT :'aoc_marks'::jsonb->>'table' AS aoc_table, :'aoc_marks'::jsonb->>'sums' AS aoc_sums \gset

-- ---- Fail here if the server or the role is unsuitable. The first of aoc.tables is the raw table.

SELECT set_config('aoc.marks', :'aoc_marks', false) AS aoc_x, set_config('aoc.tables', format('{%s,advisory,advisory_backup_20251028}', :'aoc_table'), false) AS aoc_x \gset
SELECT set_config('aoc.raw', format('%s.%I', current_setting('aoc.schema'), (current_setting('aoc.tables')::text[])[1]), false) AS aoc_x \gset
DO $$
DECLARE at oid := to_regnamespace(current_setting('aoc.schema', true)); reason text; found record; object text; errors int := 0;
BEGIN
  SELECT CASE
    WHEN statement_timestamp() <> transaction_timestamp() THEN
      'this script commits on its own: run it without psql -1, with AUTOCOMMIT on'
    WHEN current_setting('server_version_num')::int < 150000 THEN
      'PostgreSQL ' || current_setting('server_version') || ' is too old: 15 or newer is needed'
    WHEN current_setting('server_encoding') <> 'UTF8' THEN format('the encoding of this database is %s, and the rules need characters '
      'that only UTF8 has: create a database with ENCODING ''UTF8'', and move the data there', current_setting('server_encoding'))
    WHEN pg_is_in_recovery() THEN 'this is a standby: run the script on the primary'
    WHEN current_setting('transaction_read_only')::boolean THEN 'this role may only read'
    WHEN current_setting('aoc.pid', true) IS DISTINCT FROM pg_backend_pid()::text THEN
      'a pooler may run each statement in another session: connect directly to PostgreSQL'
    WHEN NOT has_database_privilege(current_database(), 'TEMP') THEN format('role %1$s may not create temporary '
      'objects, which this script needs for its procedures: GRANT TEMP ON DATABASE %2$I TO %1$I', current_user, current_database())
    WHEN at IS NULL THEN format('there is no schema %1$s here; create it with: CREATE SCHEMA %1$s', current_setting('aoc.schema'))
    WHEN NOT has_schema_privilege(at, 'CREATE') THEN format('role %s may not create in schema %s', current_user, current_setting('aoc.schema'))
    WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = at AND relname = ANY (current_setting('aoc.tables')::text[])
        AND NOT pg_has_role(relowner, 'USAGE')) THEN format('role %s lacks the privileges of the owner of the tables', current_user)
    WHEN EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(current_setting('aoc.raw')) AND relkind = 'p') THEN
      (current_setting('aoc.tables')::text[])[1] || ' is partitioned, and this script cannot build indexes one partition at a time: run aoc-migrate instead'
    WHEN EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('pg_catalog.citus_truncate_trigger')
        AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = at AND relname = ANY (current_setting('aoc.tables')::text[]))) THEN
      'Citus manages the tables, and a script cannot change them shard by shard: run aoc-migrate instead'
    WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass(current_setting('aoc.raw'))) THEN 'other tables inherit from '
      || (current_setting('aoc.tables')::text[])[1] || ', and its indexes do not cover their rows: move these, and take the tables out with NO INHERIT'
    WHEN EXISTS (SELECT FROM unnest(regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|foreign-key-owner|needs-search-path|published-table|published-bookkeeping|subscribed-table|subscribed-bookkeeping|swap-conflict|move-trigger):)')) AS given
        WHERE current_setting('aoc.accept') <> '' AND given !~ '^(update-trigger|foreign-code|foreign-key-owner|needs-search-path|published-table|published-bookkeeping|subscribed-table|subscribed-bookkeeping|swap-conflict|move-trigger):.*[^ ,]$') THEN
      'accept is SLUG:OBJECT, or several separated by commas; a slug is one of update-trigger, foreign-code, foreign-key-owner, needs-search-path, published-table, published-bookkeeping, subscribed-table, subscribed-bookkeeping, swap-conflict, move-trigger'
    WHEN length(current_setting('aoc.ticket')) > 100 OR current_setting('aoc.ticket') ~ '[[:cntrl:]]' THEN
      'a ticket has 1 to 100 printable characters, such as CHG-1234'
    END INTO reason;
  IF reason IS NOT NULL THEN RAISE EXCEPTION '%', reason; END IF; PERFORM set_config(name, wanted, false) FROM pg_settings JOIN (VALUES ('temp_file_limit', '-1'), ('citus.max_intermediate_result_size', '-1'), ('session_replication_role', 'origin')) AS x (ours, wanted) ON ours = name WHERE setting <> wanted AND (context = 'user' OR has_parameter_privilege(name, 'SET'));
  IF current_setting('session_replication_role') = 'replica' THEN RAISE EXCEPTION 'no foreign key would hold; as a superuser: ALTER ROLE % IN DATABASE % SET session_replication_role = origin', quote_ident(current_user), quote_ident(current_database()); END IF;
  -- Event triggers run with all DDL, even that of temporary procedures, so they are checked before these are created.
  FOR found IN SELECT 'foreign-code' AS slug, p.oid::regprocedure::text AS function, n.nspname::text AS schema, quote_ident(pg_get_userbyid(p.proowner)) AS owner, array_agg('event trigger ' || quote_ident(evtname)) AS names, 128 AS events FROM pg_event_trigger JOIN pg_proc p
  ON p.oid = evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace WHERE evtenabled IN ('O', 'A') AND evtevent <> 'login' AND NOT pg_has_role(p.proowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass(current_setting('aoc.raw'))), (SELECT oid
  FROM pg_roles WHERE rolname = current_user)), 'USAGE') GROUP BY p.oid, 3, 4 LOOP
    object := found.slug || ':' || found.function;
    CONTINUE WHEN object = ANY (regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|foreign-key-owner|needs-search-path|published-table|published-bookkeeping|subscribed-table|subscribed-bookkeeping|swap-conflict|move-trigger):)'));
    errors := errors + 1;
    RAISE WARNING '%: this script would run %, which belongs to role % (%); accept it with %', found.slug, found.function, found.owner,
      array_to_string(found.names, ', '), '-v ' || CASE WHEN object ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || object ELSE '''' || replace('accept=' || object, '''', '''"''"''') || '''' END;
  END LOOP;
  IF errors > 0 THEN RAISE EXCEPTION 'nothing was changed: fix this and run the script again'; END IF;
END $$;

-- ---- Procedures of this session, in pg_temp.

CREATE OR REPLACE FUNCTION pg_temp.aoc_sql(text) RETURNS text LANGUAGE plpgsql AS $$
-- Replace marks such as <schema> in SQL by names; inside quotes, the quotes of a schema's name are doubled.
DECLARE at text := replace(current_setting('aoc.schema'), '<', chr(1)); mark record;  -- a name must not look like a mark
BEGIN
  FOR mark IN SELECT key, value FROM jsonb_each_text(current_setting('aoc.marks')::jsonb) LOOP
    $1 := replace($1, '<' || mark.key || '>', mark.value);
  END LOOP;
  RETURN replace(replace(replace($1, '''<schema>', '''' || replace(at, '''', '''''')), '<schema>', at), chr(1), '<');
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_asks(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE answer boolean;
BEGIN
  EXECUTE pg_temp.aoc_sql('SELECT ' || condition) INTO answer;
  RETURN answer;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_constraint_is_ours(relation text, name text, signature text) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass($1) AND c.conname = $2 AND obj_description(c.oid,
  'pg_constraint') = $3 AND (SELECT 'aoc-migrate sha256:' || encode(sha256(convert_to(concat_ws(E'\n', regexp_replace(replace(replace(regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), '"', ''), 'CHECK (' || replace(n.nspname, '"', '') || '.',
  'CHECK ('), '\((\w+)\)::(text|timestamp with time zone)', '\1', 'g'), string_agg(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset,
  p.prosupport::oid, p.proconfig, p.prosrc), E'\n') FILTER (WHERE p.oid IS NOT NULL)), 'UTF8')), 'hex') FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_depend d ON d.classid =
  'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass LEFT JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = t.relnamespace AND pg_has_role(p.proowner, t.relowner, 'USAGE') LEFT JOIN pg_language l ON l.oid = p.prolang
  WHERE k.oid = c.oid GROUP BY k.oid, n.nspname) = $3) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_function_is_ours(relation text, function text, digest text) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass($1) WHERE
  p.oid = to_regprocedure($2) AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof,
  p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = $3) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_index_is_ours(relation text, index text, is_unique boolean, columns text[]) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  WHERE i.indexrelid = to_regclass($2) AND i.indrelid = to_regclass($1) AND i.indisunique = $3 AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AND i.indnatts = i.indnkeyatts AND i.indnatts = cardinality($4) AND (SELECT
  bool_and(a.attname = split_part(w.name, ' ', 1) AND o.opcdefault AND k.options = 0 AND k.collated = CASE WHEN strpos(w.name, ' COLLATE "C"') > 0 THEN 'pg_catalog."C"'::regcollation ELSE a.attcollation END) FROM unnest(i.indkey::int2[], i.indcollation::oid[],
  i.indclass::oid[], i.indoption::int2[]) WITH ORDINALITY AS k (attnum, collated, class, options, n) JOIN unnest($4) WITH ORDINALITY AS w (name, n) ON w.n = k.n JOIN pg_opclass o ON o.oid = k.class LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum
  = k.attnum)) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_has_constraint(relation text, name text) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_has_unproven(relation text, name text) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2 AND NOT convalidated) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_nullable(relation text, columns text[]) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = ANY ($2) AND (NOT a.attnotnull OR EXISTS (SELECT FROM
  pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'n' AND a.attnum = ANY (c.conkey) AND NOT c.convalidated))) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_somebody_cannot_execute(relation text, function text) RETURNS boolean LANGUAGE sql AS $$ SELECT NOT has_function_privilege('public', to_regprocedure($2), 'EXECUTE') AND EXISTS ( SELECT FROM pg_roles r WHERE NOT
  has_function_privilege(r.oid, to_regprocedure($2), 'EXECUTE') AND NOT starts_with(rolname, 'pg_') AND (has_any_column_privilege(r.oid, to_regclass($1), 'INSERT') OR has_any_column_privilege(r.oid, to_regclass($1), 'UPDATE'))) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_function_is_kept(relation text, function text, digest text) RETURNS text LANGUAGE sql AS $$ SELECT (SELECT CASE WHEN NOT (EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid =
  to_regclass($1) WHERE p.oid = to_regprocedure($2) AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict,
  p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = $3)) THEN NULL WHEN users IS NOT NULL THEN 'something else uses it (' || users || ')' WHEN NOT (SELECT pg_has_role(proowner, 'USAGE') FROM pg_proc WHERE oid
  = to_regprocedure($2)) THEN 'we cannot act as the role that owns it' END FROM (SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ' ORDER BY classid, objid) FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid = to_regprocedure($2)
  ) AS used (users)) $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_our_tables() RETURNS void LANGUAGE plpgsql AS $$
-- Lock our own tables, and fail unless they are ordinary tables of a trusted role without code of untrusted roles.
DECLARE our_table text; found text;
BEGIN
  FOREACH our_table IN ARRAY ARRAY['<schema>."aoc_migration_state"', '<schema>."aoc_supersedes_journal"'] LOOP
    IF to_regclass(pg_temp.aoc_sql(our_table)) IS NOT NULL THEN
      EXECUTE pg_temp.aoc_sql(format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', our_table));
    END IF;
  END LOOP;
  SELECT string_agg(f.name || ' has one of our names, but ' || f.flaw || '. Find out who made it, and what for. ' || f.remedy,
    ' ') INTO found FROM (
WITH wanted (name, place, columns, exact) AS ( VALUES ('aoc_alembic_version', (current_setting('aoc.schema') || '."aoc_alembic_version"'), ARRAY['version_num character varying(32)']::text[], true), ('aoc_migration_hold', (current_setting('aoc.schema') ||
  '."aoc_migration_hold"'), ARRAY['one boolean', 'command text', 'revision text', 'held_by text', 'held_at timestamp with time zone', 'finished boolean', 'acknowledged boolean']::text[], true), ('aoc_migration_state', (current_setting('aoc.schema') ||
  '."aoc_migration_state"'), ARRAY['name text', 'value jsonb', 'recorded_at timestamp with time zone']::text[], true), ('aoc_migration_log', (current_setting('aoc.schema') || '."aoc_migration_log"'), ARRAY['run bigint', 'command text', 'from_revision text',
  'goal text', 'revision text', 'role text', 'host text', 'image text', 'ticket text', 'plan text', 'version text', 'server_version text', 'pid integer', 'started_at timestamp with time zone', 'seen_at timestamp with time zone',
  'ended_at timestamp with time zone', 'outcome text', 'step text', 'findings text[]', 'progress jsonb', 'steps jsonb', 'checksums jsonb', 'controls jsonb']::text[], true), ('aoc_supersedes_journal', (current_setting('aoc.schema') || '."aoc_supersedes_journal"'),
  ARRAY['batch bigint', 'links text[]', 'tenant text', 'written_at timestamp with time zone']::text[], true) ) SELECT name, flaw, remedy FROM wanted AS w JOIN pg_class c ON c.oid = to_regclass(place) CROSS JOIN LATERAL ( SELECT CASE WHEN c.relkind <> 'r' OR
  c.relpersistence <> 'p' THEN 'it is not an ordinary table' WHEN NOT pg_has_role(c.relowner, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass(current_setting('aoc.raw'))), (SELECT oid FROM pg_roles WHERE rolname = current_user)), 'USAGE') THEN
  'it belongs to role ' || quote_ident(pg_get_userbyid(c.relowner)) WHEN NOT (w.columns <@ found.columns AND (found.columns <@ w.columns OR NOT w.exact)) THEN 'it has other columns' END AS wrong, CASE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND
  NOT tgisinternal) THEN 'it has a trigger' WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has a rule' WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) THEN 'it has row-level security' WHEN EXISTS (SELECT FROM
  pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'it has a parent or a child' WHEN EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid) THEN 'a foreign key refers to it' END AS added FROM (SELECT coalesce(array_agg(attname || ' ' ||
  format_type(atttypid, atttypmod)), '{}') AS columns FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS found ) AS judged CROSS JOIN LATERAL (SELECT coalesce(wrong, added) AS flaw, CASE WHEN wrong IS NULL THEN
  'Drop that, and keep the table.' ELSE 'Rename or drop it, as its owner or as a superuser.' END AS remedy) AS said WHERE flaw IS NOT NULL UNION ALL SELECT name, 'a type has it', 'Rename or drop it, as its owner or as a superuser.' FROM wanted JOIN pg_type t ON
  t.oid = to_regtype(place) WHERE t.typrelid = 0 UNION ALL SELECT 'aoc_alembic_version_pkc', 'it does not belong to ' || name, 'Rename or drop it, as its owner or as a superuser.' FROM wanted JOIN pg_class k ON k.oid = to_regclass(left(place, -1) || '_pkc"')
  WHERE name = 'aoc_alembic_version' AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = k.oid AND indrelid = to_regclass(place))) AS f;
  IF found IS NOT NULL THEN RAISE EXCEPTION '%', found; END IF;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_read(our_table text, what text) RETURNS text LANGUAGE plpgsql AS $$
-- Read a table of ours; NULL if it does not exist or has no row.
DECLARE found text;
BEGIN
  our_table := current_setting('aoc.schema') || '.' || our_table;
  IF to_regclass(our_table) IS NOT NULL THEN
    EXECUTE format('SELECT %s FROM %s', what, our_table) INTO found;
  END IF;
  RETURN found;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_found(name text) RETURNS jsonb LANGUAGE sql AS $$
SELECT pg_temp.aoc_read('aoc_migration_state', format('max(value::text) FILTER (WHERE name = %L)', name))::jsonb
$$;
-- Name the holders of locks on a table.
CREATE OR REPLACE FUNCTION pg_temp.aoc_holders(locked text) RETURNS text LANGUAGE sql AS $$
SELECT coalesce(string_agg(DISTINCT coalesce(format('pid %s (%s, %s, open for %s)', a.pid, a.usename,
  a.application_name, date_trunc('second', now() - a.xact_start)), 'a prepared transaction'), '; '), 'nobody now')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = to_regclass(locked) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_enter(part text) RETURNS text LANGUAGE plpgsql AS $$
-- Begin a part: name it in pg_stat_activity, and fail if we have lost the run lock.
BEGIN
  part := pg_temp.aoc_sql(part);
  IF NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 1 AND granted
      AND ((classid::bigint << 32) | objid::bigint) = current_setting('aoc.lock')::bigint) THEN
    RAISE EXCEPTION 'we no longer hold the run lock: connect directly to PostgreSQL, not through a pooler';
  END IF;
  PERFORM set_config('application_name', 'aoc-migrate psql ' || split_part(part, ':', 1), false);
  RETURN part;
END $$;
CREATE OR REPLACE PROCEDURE pg_temp.aoc_step(relation text, lock text, steps text[]) LANGUAGE plpgsql AS $$
-- Run steps in one transaction under one lock on a relation, and retry if the lock is not available. A step has four texts:
-- whether it needs the lock ('locked') or not ('free'; 'kept': it may be skipped), the condition on which it is needed, an
-- objection to it (NULL: none), and its SQL. Lock 'wait': until nobody builds an index; each try is too short for a deadlock there.
DECLARE
  detects int := (SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout');
  weak int := least(CASE lock WHEN 'wait' THEN 3 * detects / 2 ELSE greatest(5000, 2 * detects) END, 600000);
  begun timestamptz := clock_timestamp(); pause float8 := 1;
  step text[]; todo text[]; weakly bool; asked timestamptz; reason text;
BEGIN
  relation := pg_temp.aoc_sql(relation);
  FOREACH step SLICE 1 IN ARRAY steps LOOP
    EXECUTE pg_temp.aoc_sql('SELECT ' || step[3]) INTO reason;
    IF reason IS NOT NULL AND step[1] = 'kept' THEN RAISE WARNING '%', reason;
    ELSIF reason IS NOT NULL THEN RAISE EXCEPTION '%', reason;
    ELSIF pg_temp.aoc_asks(step[2]) THEN todo := todo || ARRAY[step];
    END IF;
  END LOOP;
  COMMIT;
  IF todo IS NULL THEN RETURN; END IF;
  LOOP
    reason := NULL; weakly := false; asked := NULL;
    BEGIN
      PERFORM pg_temp.aoc_our_tables();
      FOREACH step SLICE 1 IN ARRAY todo LOOP
        IF 'locked' = ANY (todo) AND NOT weakly AND to_regclass(relation) IS NOT NULL THEN
          -- This lock blocks no reader or writer, and an autovacuum yields after deadlock_timeout.
          PERFORM set_config('lock_timeout', weak || 'ms', true), set_config('synchronous_commit', 'off', true);
          EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', relation);
          weakly := true;
        END IF;
        IF step[1] = 'locked' AND asked IS NULL AND weakly THEN
          asked := clock_timestamp();
          IF lock = 'ACCESS EXCLUSIVE' THEN
            PERFORM set_config('lock_timeout', '100ms', true);
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
          END IF;
        END IF;
        IF lock = 'ACCESS EXCLUSIVE' AND asked IS NOT NULL THEN  -- the rest of the time that others may wait
          PERFORM set_config('lock_timeout', greatest(1, 100 - extract(epoch FROM clock_timestamp() - asked) * 1000)::int || 'ms', true);
        END IF;
        EXECUTE pg_temp.aoc_sql(step[4]);
      END LOOP;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN reason := SQLERRM;
    END;
    IF reason IS NOT NULL AND clock_timestamp() - begun > interval '600.0 s' THEN
      RAISE EXCEPTION '%: gave up (%). Locked by %. Run the script again to resume.',
        btrim(split_part(relation, '.', -1), '"'), reason, pg_temp.aoc_holders(relation);
    ELSIF reason IS NOT NULL THEN
      RAISE WARNING '%: an attempt gave up (%). Locked by %.', btrim(split_part(relation, '.', -1), '"'), reason, pg_temp.aoc_holders(relation);
    END IF;
    COMMIT;
    EXIT WHEN reason IS NULL;
    PERFORM pg_sleep(pause * (0.5 + random() / 2));
    pause := least(pause * 2, 5);
  END LOOP;
END $$;
CREATE OR REPLACE PROCEDURE pg_temp.aoc_run(statement text) LANGUAGE plpgsql AS $$
-- Run a statement that reads, writes or creates our tables; check them again before it commits.
BEGIN
  PERFORM pg_temp.aoc_our_tables();
  EXECUTE pg_temp.aoc_sql(statement);
  PERFORM pg_temp.aoc_our_tables();
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_alone(objection text, needed text, statement text) RETURNS text LANGUAGE plpgsql AS $$
-- Return a statement that runs outside a transaction, if it is needed; fail if there is an objection to it.
DECLARE reason text;
BEGIN
  EXECUTE pg_temp.aoc_sql('SELECT ' || objection) INTO reason;
  IF reason IS NOT NULL THEN RAISE EXCEPTION '%', reason; END IF;
  RETURN CASE WHEN pg_temp.aoc_asks(needed) THEN pg_temp.aoc_sql(statement) END;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_option(object text) RETURNS text LANGUAGE sql AS $$
-- Return the option that accepts a finding; object is SLUG:OBJECT.
SELECT '-v ' || CASE WHEN object ~ '^[A-Za-z0-9_@=:./-]+$' THEN 'accept=' || object ELSE '''' || replace('accept=' || object, '''', '''"''"''') || '''' END
$$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_replicated(changed text[]) RETURNS int LANGUAGE plpgsql AS $$
-- Warn of what replicates our tables and would stop, and return the number of warnings; changed: SLUG:OBJECT of what would change.
DECLARE found record; errors int := 0; accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|foreign-key-owner|needs-search-path|published-table|published-bookkeeping|subscribed-table|subscribed-bookkeeping|swap-conflict|move-trigger):)');
BEGIN
  FOR found IN SELECT r.slug, r.object, array_to_string(r.names, ', ') AS names, r.slug || ':' || r.object AS named FROM (
WITH RECURSIVE own (object, oid) AS (VALUES ('aoc_alembic_version', to_regclass((current_setting('aoc.schema') || '."aoc_alembic_version"'))), ('aoc_migration_state', to_regclass((current_setting('aoc.schema') || '."aoc_migration_state"'))),
  ('aoc_migration_hold', to_regclass((current_setting('aoc.schema') || '."aoc_migration_hold"'))), ('aoc_migration_log', to_regclass((current_setting('aoc.schema') || '."aoc_migration_log"')))), family (oid, object) AS ( SELECT oid, relname::text FROM pg_class
  WHERE relkind IN ('r', 'p') AND oid IN (to_regclass(current_setting('aoc.raw'))) UNION ALL SELECT inhrelid, object FROM pg_inherits JOIN family ON inhparent = oid WHERE NOT inhdetachpending ) SELECT 'published-table' AS slug, object, array_agg(DISTINCT
  quote_ident(pubname)) AS names FROM family JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname GROUP BY 2 UNION ALL SELECT 'published-bookkeeping',
  pubname, ARRAY(SELECT object FROM own WHERE oid IS NULL) FROM pg_publication p WHERE EXISTS (SELECT FROM own WHERE oid IS NULL) AND (puballtables OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = p.oid AND pnnspid =
  to_regnamespace((current_setting('aoc.schema') || '')))) UNION ALL SELECT 'subscribed-table', object, array_agg(DISTINCT quote_ident(subname)) FROM family JOIN pg_subscription_rel ON srrelid = family.oid JOIN pg_subscription s ON s.oid = srsubid GROUP BY 2
  UNION ALL SELECT 'subscribed-bookkeeping', object, array_agg(DISTINCT quote_ident(subname)) FROM own JOIN pg_subscription_rel ON srrelid = own.oid JOIN pg_subscription s ON s.oid = srsubid GROUP BY 2 ORDER BY 1, 2) AS r LOOP
    CONTINUE WHEN found.named = ANY (accepted) OR found.slug IN ('published-table', 'subscribed-table') AND NOT found.named = ANY (changed);
    errors := errors + 1;
    RAISE WARNING '%: % (%); docs/rules.md shows what to do first, and where; to accept it: %', found.slug, found.object, found.names,
      pg_temp.aoc_option(found.named);
  END LOOP;
  RETURN errors;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.aoc_links() RETURNS bigint LANGUAGE plpgsql AS $$
-- Return how many rows have a missing or wrong supersedes link; without that column, how many have a predecessor.
DECLARE rows bigint := 0;
BEGIN
  IF pg_temp.aoc_asks($q$EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attname = 'supersedes' AND NOT attisdropped)$q$) THEN
    EXECUTE pg_temp.aoc_sql($q$SELECT count(*) FROM (SELECT id, old, expected FROM (SELECT id, supersedes AS old, lag(id) OVER (PARTITION BY hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0))), tenant, source_vendor, upstream_id ORDER BY retrieved_at, id COLLATE "C") AS
  expected FROM <schema>."<table>" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL) AS linked WHERE old IS DISTINCT FROM expected) AS wrong$q$) INTO rows;
  ELSIF to_regclass(current_setting('aoc.raw')) IS NOT NULL THEN
    EXECUTE pg_temp.aoc_sql($q$SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY tenant, source_vendor, upstream_id) AS n FROM <schema>."<table>" WHERE tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND retrieved_at IS NOT NULL) AS r WHERE n > 1$q$) INTO rows;
  END IF;
  RETURN rows;
END $$;
CREATE OR REPLACE PROCEDURE pg_temp.aoc_audit(rules text[], groups text, linking boolean, swap text[])
LANGUAGE plpgsql AS $$
-- Read every row once, and fail if one breaks a rule (name, signature and predicate each) that is not proven yet, if rows
-- share an idempotency key (groups: the query), if the backfill is not allowed (linking), or if replacing a table by a view
-- (swap: both names) would break something. NULL skips a check.
#variable_conflict use_column
DECLARE
  raw text := current_setting('aoc.raw'); raw_name text := (current_setting('aoc.tables')::text[])[1];
  accepted text[] := regexp_split_to_array(current_setting('aoc.accept'), ',(?=(update-trigger|foreign-code|foreign-key-owner|needs-search-path|published-table|published-bookkeeping|subscribed-table|subscribed-bookkeeping|swap-conflict|move-trigger):)'); changed text[] := '{}';
  errors int := 0; rows bigint; links bigint := -1; lacking text; counted text; counts jsonb; found record; rule text[];
BEGIN
  IF to_regclass(raw) IS NOT NULL THEN
    IF linking OR NOT pg_temp.aoc_asks($q$EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attname = 'supersedes' AND NOT attisdropped)$q$) THEN
      changed := changed || format('published-table:%s', raw_name);
    END IF;
    SELECT string_agg(name, ', ') INTO lacking FROM unnest(ARRAY['id', 'tenant', 'source_vendor', 'upstream_id', 'content_hash', 'retrieved_at', 'source', 'upstream', 'linkset', 'content', 'identifiers']) AS name WHERE NOT EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = to_regclass(raw) AND attname = name AND NOT attisdropped);
    IF rules IS NOT NULL AND (lacking IS NOT NULL OR (SELECT relkind FROM pg_class WHERE oid = to_regclass(raw)) <> 'r') THEN
      RAISE EXCEPTION '% is not the table that the contract describes; it lacks: %', raw_name,
        coalesce(lacking, 'being a plain table');
    END IF;
    FOREACH rule SLICE 1 IN ARRAY coalesce(rules, ARRAY[ARRAY[NULL, NULL, NULL]]) LOOP
      CONTINUE WHEN rule[1] IS NULL OR pg_temp.aoc_constraint_is_ours(raw, pg_temp.aoc_sql(rule[1]), pg_temp.aoc_sql(rule[2]))
        AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(raw) AND conname = pg_temp.aoc_sql(rule[1])
          AND convalidated);
      counted := concat_ws(', ', counted, format('count(*) FILTER (WHERE NOT (%1$s)) AS %2$I, to_json(min(id) FILTER '
        '(WHERE NOT (%1$s))) AS %3$I', rule[3], pg_temp.aoc_sql(rule[1]), pg_temp.aoc_sql(rule[1]) || ' id'));
    END LOOP;
    IF counted IS NOT NULL OR groups IS NOT NULL THEN
      changed := changed || format('subscribed-table:%s', raw_name);
    END IF;
    IF counted IS NOT NULL THEN
      EXECUTE format('SELECT to_jsonb(c) FROM (SELECT %s FROM %s) AS c', counted, raw) INTO counts;
      FOR found IN SELECT key, value, (counts->(key || ' id'))::text AS example FROM jsonb_each_text(counts)
        WHERE key NOT LIKE '% id' AND value <> '0' ORDER BY key
      LOOP
        errors := errors + 1;
        RAISE WARNING '% rows of % break %, for example id %', found.value, raw_name, found.key, found.example;
      END LOOP;
    END IF;
    FOR found IN SELECT * FROM (VALUES ('<table>_idempotency_v1', $q$SELECT count(*) FROM (SELECT tenant, source_vendor, upstream_id, content_hash FROM <schema>."<table>" ORDER BY tenant, source_vendor, upstream_id, content_hash OFFSET 0) AS sorted$q$)) AS s (name, sort)
      WHERE groups IS NOT NULL AND current_setting('temp_file_limit') <> '-1' AND to_regclass(pg_temp.aoc_sql('<schema>.' || name)) IS NULL
    LOOP BEGIN
      PERFORM set_config(name, value, true) FROM (VALUES ('work_mem', current_setting('maintenance_work_mem')), ('max_parallel_workers_per_gather', '0'), ('enable_indexscan', 'off'), ('enable_indexonlyscan', 'off'), ('jit', 'off')) AS settings (name, value);
      EXECUTE pg_temp.aoc_sql(found.sort);  -- what the build of this index sorts
    EXCEPTION WHEN configuration_limit_exceeded THEN
      errors := errors + 1;
      RAISE WARNING 'temp-file-limit: the build of % cannot sort the table: %', pg_temp.aoc_sql(found.name), SQLERRM;
    END; END LOOP;
    IF groups IS NOT NULL THEN
      EXECUTE pg_temp.aoc_sql(groups) INTO rows;
      IF rows > 0 THEN
        errors := errors + 1;
        RAISE WARNING '% groups of rows of % share an idempotency key (ERR_AOC_003)', rows, raw_name;
      END IF;
    END IF;
  END IF;
  errors := errors + pg_temp.aoc_replicated(changed);
  IF errors > 0 THEN
    RAISE EXCEPTION 'the audit found % errors, and nothing was changed: fix them and run the script again', errors;
  END IF;
END $$;

-- ---- Check our tables, take the run lock, and read the database's revision and hold.

DO $$ BEGIN
  PERFORM pg_temp.aoc_our_tables();
  IF pg_temp.aoc_found('target')->>'name' <> pg_temp.aoc_sql('<target>') THEN
    RAISE EXCEPTION 'this schema has the history of another target: this script is for %', pg_temp.aoc_sql('<target>');
  END IF;
END $$;
SELECT set_config('aoc.lock', ('x' || encode(substring(sha256(convert_to(
  pg_temp.aoc_sql('aoc-migrate/<target>/') || :'schema', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint::text, false) AS aoc_x \gset
DO $$
DECLARE begun timestamptz := clock_timestamp(); said timestamptz := begun - interval '1 minute'; holders text; ending text;
BEGIN
  WHILE NOT pg_try_advisory_lock(current_setting('aoc.lock')::bigint) LOOP
    SELECT string_agg(concat_ws(', ', 'pid ' || pid, 'prepared transaction ' || to_json(gid), to_json(application),
        'role ' || to_json(role)), '; '),
      string_agg(CASE WHEN pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s);', pid)
        WHEN gid ~ '^[ -~]+$' THEN format('ROLLBACK PREPARED %L;', gid)
        ELSE 'SELECT * FROM pg_prepared_xacts;' END, ' ')
    INTO holders, ending FROM (
SELECT l.pid, l.pid = pg_backend_pid() AS ours, a.application_name AS application, coalesce(a.usename, p.owner)::text AS role, p.gid, extract(epoch FROM clock_timestamp() - coalesce(a.backend_start, p.prepared))::int AS seconds FROM pg_locks l LEFT JOIN
  pg_stat_activity a ON a.pid = l.pid LEFT JOIN (pg_prepared_xacts p JOIN pg_locks own ON own.transactionid = p.transaction) ON l.pid IS NULL AND own.virtualtransaction = l.virtualtransaction WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND
  l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND ((l.classid::bigint << 32) | l.objid::bigint) = current_setting('aoc.lock')::bigint ORDER BY l.pid) AS held;
    IF clock_timestamp() - begun > interval '1800.0 s' THEN
      RAISE EXCEPTION 'another run holds the lock (%); we have waited since %. Run the script again later, or end that run: %', holders, begun, ending;
    ELSIF clock_timestamp() - said > interval '5 s' THEN
      RAISE WARNING 'waiting for another run, which holds the lock (%); to end it: %', holders, ending;
      said := clock_timestamp();
    END IF;
    COMMIT;
    PERFORM pg_sleep(0.1 + random() * 0.4);
  END LOOP;
END $$;
SELECT coalesce(pg_temp.aoc_read('aoc_alembic_version', $q$string_agg(version_num, ', ')$q$), '') AS aoc_revision,
  coalesce(pg_temp.aoc_read('aoc_migration_hold', $q$format('held since %s by %s after %s', held_at, held_by, command)$q$), '') AS aoc_hold,
  coalesce(pg_temp.aoc_read('aoc_migration_hold', $q$max(coalesce(revision, '')) FILTER (WHERE NOT finished AND command LIKE '%downgrade %')$q$), 'none') AS aoc_unfinished,
  pg_temp.aoc_sql(' <target>_0001 <target>_0002 <target>_0003 <target>_0004 <target>_0005 <target>_0006 <target>_0007 <target>_0008') AS aoc_history \gset
SELECT coalesce(array_position(string_to_array(:'aoc_history', ' '), :'aoc_revision'), 0) - 1 AS aoc_position, :'aoc_hold' <> '' AS aoc_held \gset
SELECT pg_temp.aoc_alone(quote_nullable(CASE WHEN NOT :aoc_position BETWEEN 0 AND 8 THEN format('the database is at %s; this script '
  'starts from %s', coalesce(nullif(:'aoc_revision', ''), 'base'), pg_temp.aoc_sql('base to <target>_0008')) WHEN :'aoc_unfinished' <> 'none' AND NOT :'aoc_remove'::boolean
  THEN :'aoc_hold' || ', which has not finished, and what it has undone would not come back: run it again to its end first' END), 'false', '') AS aoc_x \gset

-- ---- Audit: whatever would stop a later step stops the script here, before it changes anything.

\set aoc_guard 0 \set aoc_left 1
\if :aoc_remove \set aoc_command 'constraints --remove'
SELECT CASE WHEN :aoc_position > 0 THEN pg_temp.aoc_asks($n$coalesce(pg_temp.aoc_read('aoc_migration_hold', $q$bool_or(command = 'constraints --remove' AND NOT finished)::text$q$), 'false')::boolean OR (pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_content_v1', 'aoc-migrate sha256:<content signature>'))
  OR (pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)', '<content digest>') AND (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)', '<content digest>')) IS NULL) OR
  (coalesce(NOT (pg_temp.aoc_found('<target>_0004')->>'index_found')::boolean, false) AND pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash'])) OR
  (pg_temp.aoc_found('<target>_0003') IS NOT NULL AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_keys_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_keys_v1', 'aoc-migrate sha256:<keys signature>')) AND
  pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>')) OR (pg_temp.aoc_found('<target>_0003') IS NOT NULL AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"',
  '<table>_objects_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_objects_v1', 'aoc-migrate sha256:<objects signature>')) AND pg_temp.aoc_function_is_ours('<schema>."<table>"',
  '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>')) OR (coalesce((NOT pg_temp.aoc_found('<target>_0003')->'not_null' ?& '{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}' OR
  pg_temp.aoc_found('<target>_0003')->'not_valid' <> '[]'), false) AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1',
  'aoc-migrate sha256:<required signature>'))) OR (EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND
  coalesce(NOT pg_temp.aoc_found('<target>_0003')->'not_null' ? attname::text, false) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated))) OR (EXISTS (SELECT FROM pg_constraint c JOIN
  pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('<schema>."<table>"') AND convalidated AND coalesce(pg_temp.aoc_found('<target>_0003')->'not_valid' ? attname::text, false))) OR
  (pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_keys_v1', 'aoc-migrate sha256:<keys signature>')) OR (pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_objects_v1', 'aoc-migrate sha256:<objects signature>')) OR
  (pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>')) OR (pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)',
  '<keys digest>') AND (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>')) IS NULL) OR (pg_temp.aoc_function_is_ours('<schema>."<table>"',
  '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>') AND (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>')) IS NULL)$n$) ELSE false END AS aoc_left \gset
SELECT pg_temp.aoc_alone($o$'the index <table>_idempotency_v1: ' || (CASE WHEN coalesce(NOT (pg_temp.aoc_found('<target>_0004')->>'index_found')::boolean, false) AND pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant',
  'source_vendor', 'upstream_id', 'content_hash']) THEN ( WITH parts AS (SELECT to_regclass('<schema>."<table>_idempotency_v1"')::oid AS index, false AS kept UNION SELECT relid::oid, false FROM pg_partition_tree(to_regclass('<schema>."<table>_idempotency_v1"')))
  SELECT string_agg(used, '; ' ORDER BY used) FROM ( SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) || ' needs it' AS used FROM pg_constraint JOIN parts ON conindid = index WHERE conparentid = 0 UNION ALL SELECT
  format('it is the replica identity of %1$s (ALTER TABLE %1$s REPLICA IDENTITY DEFAULT; ' || 'chooses another)', indrelid::regclass) FROM pg_index JOIN parts ON indexrelid = index WHERE indisreplident AND NOT kept) AS uses) END)$o$, 'false', '') AS aoc_x \gset
SELECT pg_temp.aoc_alone($o$'NOT NULL of columns of <table>: ' || ((SELECT string_agg(format('%I is in the %s %s of %s', attname, CASE WHEN indisprimary THEN 'primary key' ELSE 'replica identity' END, indexrelid::regclass, indrelid::regclass), '; ' ORDER BY indrelid, attnum,
  indexrelid) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1]) LEFT JOIN pg_constraint c ON conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' WHERE (indisprimary OR indisreplident) AND
  attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND coalesce(NOT pg_temp.aoc_found('<target>_0003')->'not_null' ? attname::text, false) AND NOT EXISTS (SELECT FROM pg_constraint WHERE
  conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated) AND (indrelid = to_regclass('<schema>."<table>"') OR indrelid IN ( SELECT relid FROM pg_partition_tree(to_regclass('<schema>."<table>"'))) AND conislocal IS NOT TRUE AND NOT
  ((c.oid IS NOT NULL OR NOT indisprimary) AND false))))$o$, 'false', '') AS aoc_x \gset
\else \set aoc_command 'psql constraints <target>_0004'
SELECT :'aoc_held'::boolean AND NOT :'release_hold'::boolean AS aoc_stop,
  :'aoc_hold' || ': nothing was changed; to upgrade again: -v release_hold=1' AS aoc_reason \gset
\if :aoc_stop \warn :aoc_reason \quit \endif
SELECT pg_temp.aoc_alone($o$(SELECT 'others may write to ' || string_agg(format('%s (%s: %s)', name, grantee, rights), ', ') || ', which decides what is done and undone: find out whether they did, and run: ' || string_agg(format('REVOKE %s ON %s FROM %s;', rights, relation, grantee), ' ')
  FROM (SELECT name, relation, grantee, string_agg(DISTINCT privilege, ', ' ORDER BY privilege) AS rights FROM ( SELECT w.name, c.oid::regclass::text AS relation, a.grantee AS oid, a.privilege_type AS privilege, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
  quote_ident(pg_get_userbyid(a.grantee)) END AS grantee FROM (VALUES ('aoc_alembic_version', to_regclass('<schema>."aoc_alembic_version"')), ('aoc_migration_hold', to_regclass('<schema>."aoc_migration_hold"')), ('aoc_migration_state',
  to_regclass('<schema>."aoc_migration_state"')), ('aoc_migration_log', to_regclass('<schema>."aoc_migration_log"')), ('aoc_supersedes_journal', to_regclass('<schema>."aoc_supersedes_journal"'))) AS w (name, oid) JOIN pg_class c ON c.oid = w.oid OR c.relkind =
  'S' AND EXISTS ( SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND refclassid = classid AND refobjid = w.oid) CROSS JOIN LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT x.* FROM pg_attribute, aclexplode(attacl) AS x
  WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a WHERE a.privilege_type <> 'SELECT' ) AS granted WHERE oid = 0 OR NOT pg_has_role(oid, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('<schema>."<table>"')), (SELECT oid FROM
  pg_roles WHERE rolname = current_user)), 'USAGE') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3) AS w)$o$, 'false', '') AS aoc_x \gset
CALL pg_temp.aoc_audit(ARRAY[
  ARRAY['<table>_keys_v1', 'aoc-migrate sha256:<keys signature>', $p$(coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false)$p$],
  ARRAY['<table>_objects_v1', 'aoc-migrate sha256:<objects signature>', $p$coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$],
  ARRAY['<table>_required_v1', 'aoc-migrate sha256:<required signature>', $p$tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL$p$]], 
  $g$SELECT d.groups FROM (WITH candidates AS MATERIALIZED (
  SELECT digest, count(*) AS n FROM (
    SELECT hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) AS digest FROM <schema>."<table>" ORDER BY digest OFFSET 0
  ) AS digests GROUP BY digest HAVING count(*) > 1 OR digest IS NULL
), groups AS (
  SELECT tenant, source_vendor, upstream_id, content_hash, count(*) AS n, (array_agg(id ORDER BY retrieved_at, id COLLATE "C"))[1:20] AS ids
  FROM <schema>."<table>" WHERE hashtextextended(content_hash, hashtextextended(upstream_id, hashtextextended(source_vendor, hashtextextended(tenant, 0)))) IN (SELECT digest FROM candidates) AND EXISTS (SELECT FROM candidates WHERE NOT (digest IS NULL))
  GROUP BY tenant, source_vendor, upstream_id, content_hash HAVING count(*) > 1
)
SELECT *, count(*) OVER () AS groups, sum(n) OVER ()::bigint AS rows FROM groups ORDER BY n DESC, tenant COLLATE "C", source_vendor COLLATE "C", upstream_id COLLATE "C", content_hash COLLATE "C" LIMIT 1) AS d WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indisvalid)$g$, false, NULL);
-- The guard of content follows the backfill, which it would slow down. If that is done, or no row needs it, it is added now.
SELECT :'aoc_content'::boolean OR :aoc_position >= 7 OR pg_temp.aoc_links() = 0 AS aoc_guard \gset \if :aoc_guard
CALL pg_temp.aoc_audit(ARRAY[
  ARRAY['<table>_content_v1', 'aoc-migrate sha256:<content signature>', $p$coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false)$p$]], NULL, false, NULL);
\endif
\endif

-- ---- Record the run.

\if :aoc_left
SELECT pg_temp.aoc_sql(:'aoc_command') AS aoc_command, CASE WHEN NOT :'aoc_remove'::boolean AND :aoc_position < 4
  THEN pg_temp.aoc_sql('<target>_0004') ELSE coalesce(nullif(:'aoc_revision', ''), 'base') END AS aoc_goal,
  CASE WHEN :'aoc_remove'::boolean THEN '{}' ELSE :'aoc_sums' END AS aoc_sums \gset
CALL pg_temp.aoc_run($s$DO $aoc$ DECLARE made oid[] := '{}'; entry record; BEGIN IF to_regclass('<schema>."aoc_alembic_version"') IS NULL THEN CREATE TABLE <schema>."aoc_alembic_version" ( version_num character varying(32) NOT NULL, CONSTRAINT aoc_alembic_version_pkc PRIMARY KEY
  (version_num) ); made := made || to_regclass('<schema>."aoc_alembic_version"')::oid; END IF; IF to_regclass('<schema>."aoc_migration_state"') IS NULL THEN CREATE TABLE <schema>."aoc_migration_state" ( name text PRIMARY KEY, value jsonb NOT NULL, recorded_at
  timestamp with time zone NOT NULL DEFAULT now() ); made := made || to_regclass('<schema>."aoc_migration_state"')::oid; END IF; IF to_regclass('<schema>."aoc_migration_hold"') IS NULL THEN CREATE TABLE <schema>."aoc_migration_hold" ( one boolean PRIMARY KEY
  DEFAULT true CHECK (one), command text NOT NULL, revision text, held_by text NOT NULL, held_at timestamp with time zone NOT NULL DEFAULT now(), finished boolean NOT NULL, acknowledged boolean NOT NULL ); made := made ||
  to_regclass('<schema>."aoc_migration_hold"')::oid; END IF; IF to_regclass('<schema>."aoc_migration_log"') IS NULL THEN CREATE TABLE <schema>."aoc_migration_log" ( run bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, command text NOT NULL, from_revision text NOT
  NULL, goal text, revision text, role text NOT NULL DEFAULT current_user, host text NOT NULL, image text, ticket text, plan text, version text NOT NULL, server_version text NOT NULL DEFAULT current_setting('server_version'), pid integer NOT NULL DEFAULT
  pg_backend_pid(), started_at timestamp with time zone NOT NULL DEFAULT now(), seen_at timestamp with time zone NOT NULL DEFAULT now(), ended_at timestamp with time zone, outcome text, step text, findings text[] NOT NULL DEFAULT '{}', progress jsonb, steps jsonb
  NOT NULL DEFAULT '[]', checksums jsonb NOT NULL DEFAULT '{}', controls jsonb NOT NULL DEFAULT '[]' ); made := made || to_regclass('<schema>."aoc_migration_log"')::oid; END IF; FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0
  THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend WHERE classid =
  'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made))) LOOP EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee); END LOOP; END $aoc$$s$);
UPDATE :"schema"."aoc_migration_log" SET outcome = 'interrupted', ended_at = seen_at WHERE ended_at IS NULL;
INSERT INTO :"schema"."aoc_migration_log" (command, from_revision, goal, host, ticket, version, checksums)
  SELECT :'aoc_command', coalesce(nullif(:'aoc_revision', ''), 'base'), :'aoc_goal',
    coalesce(host(inet_client_addr()), 'local'), nullif(btrim(:'ticket'), ''), '0.1.0', :'aoc_sums'::jsonb
  RETURNING run AS aoc_run \gset
\if :aoc_remove

-- ======== -v remove=1: drop constraints and idempotency index, and leave a hold.

INSERT INTO :"schema"."aoc_migration_hold" AS held (command, revision, held_by, held_at, finished, acknowledged)
  SELECT 'constraints --remove', nullif(:'aoc_revision', ''), current_user || '@psql', now(), false, true
  ON CONFLICT (one) DO UPDATE SET command = excluded.command, revision = excluded.revision, held_by = excluded.held_by, held_at = excluded.held_at, finished = excluded.finished, acknowledged = excluded.acknowledged WHERE held.finished OR held.command NOT LIKE '%downgrade %';

SELECT pg_temp.aoc_enter('downgrade <target>_0007: Guard content: no forbidden key at the top level of content, for new and old rows.');
-- DROP CONSTRAINT <table>_content_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; no row is read.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[ARRAY['locked', $n$pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_content_v1', 'aoc-migrate sha256:<content signature>')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_content_v1$s$]]);
-- DROP FUNCTION <table>_content_ok_v1 ON <table>: takes no lock on your tables; no constraint calls it any more.
CALL pg_temp.aoc_step('<schema>."<table>"', 'none', ARRAY[ARRAY['kept', $n$pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)', '<content digest>')$n$, $o$'<table>_content_ok_v1 is kept: ' || (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)', '<content digest>'))$o$,
 $s$DROP FUNCTION IF EXISTS <schema>."<table>_content_ok_v1"(jsonb)$s$]]);

SELECT pg_temp.aoc_enter('downgrade <target>_0004: Idempotency index: one row per tenant, vendor, upstream id and content hash.');
-- DROP INDEX CONCURRENTLY <table>_idempotency_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; reads and writes go on; it waits for older transactions.
CALL pg_temp.aoc_step('<schema>."<table>"', 'wait', ARRAY[ARRAY['locked', $n$EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indrelid = to_regclass('<schema>."<table>"') AND NOT (indisvalid AND indisready AND indislive))$n$, 'NULL', 'SELECT']]);
SELECT pg_temp.aoc_alone($o$coalesce('the index <table>_idempotency_v1: ' || (CASE WHEN coalesce(NOT (pg_temp.aoc_found('<target>_0004')->>'index_found')::boolean, false) AND pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) THEN (
  WITH parts AS (SELECT to_regclass('<schema>."<table>_idempotency_v1"')::oid AS index, false AS kept UNION SELECT relid::oid, false
    FROM pg_partition_tree(to_regclass('<schema>."<table>_idempotency_v1"')))
  SELECT string_agg(used, '; ' ORDER BY used) FROM (
    SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) || ' needs it' AS used
    FROM pg_constraint JOIN parts ON conindid = index WHERE conparentid = 0
    UNION ALL SELECT format('it is the replica identity of %1$s (ALTER TABLE %1$s REPLICA IDENTITY DEFAULT; ' ||
      'chooses another)', indrelid::regclass)
    FROM pg_index JOIN parts ON indexrelid = index WHERE indisreplident AND NOT kept) AS uses) END), CASE WHEN EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indrelid = to_regclass('<schema>."<table>"') AND NOT (indisvalid AND indisready AND indislive)) THEN (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE transactionid IN (SELECT xmax FROM pg_index WHERE indrelid = to_regclass('<schema>."<table>"')) AND granted AND pid IS DISTINCT FROM pg_backend_pid()) || ' has yet to commit <table>_idempotency_v1: let that end, and run this again' END)$o$,
  $n$coalesce(NOT (pg_temp.aoc_found('<target>_0004')->>'index_found')::boolean, false) AND pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash'])$n$, $s$DROP INDEX CONCURRENTLY IF EXISTS <schema>."<table>_idempotency_v1"$s$) \gexec
CALL pg_temp.aoc_step('<schema>."aoc_migration_state"', 'none', ARRAY[ARRAY['free', $n$pg_temp.aoc_found('<target>_0004') IS NOT NULL$n$, 'NULL', $s$DELETE FROM <schema>."aoc_migration_state" WHERE name = '<target>_0004'$s$]]);

SELECT pg_temp.aoc_enter('downgrade <target>_0003: Prove existing rows: validate the CHECKs in one scan, then SET NOT NULL without another.');
-- ADD CONSTRAINT NOT VALID <table>_keys_v1, <table>_objects_v1, <table>_required_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; no statement makes a constraint unproven: it is dropped and added at once.
-- DROP NOT NULL tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON <table>: ACCESS EXCLUSIVE on <table> for an instant; only where this migration had set it.
-- ADD NOT NULL NOT VALID tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON <table>: ACCESS EXCLUSIVE on <table> for an instant; only where it was found so; dropped and added at once.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['locked', $n$pg_temp.aoc_found('<target>_0003') IS NOT NULL AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_keys_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_keys_v1', 'aoc-migrate sha256:<keys signature>')) AND pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>')$n$, 'NULL',
 $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_keys_v1; ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_keys_v1 CHECK (<schema>."<table>_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text,
  retrieved_at::timestamptz)) NOT VALID; COMMENT ON CONSTRAINT <table>_keys_v1 ON <schema>."<table>" IS 'aoc-migrate sha256:<keys signature>'$s$],
ARRAY['locked', $n$pg_temp.aoc_found('<target>_0003') IS NOT NULL AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_objects_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_objects_v1', 'aoc-migrate sha256:<objects signature>')) AND pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>')$n$, 'NULL',
 $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_objects_v1; ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_objects_v1 CHECK (<schema>."<table>_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID;
  COMMENT ON CONSTRAINT <table>_objects_v1 ON <schema>."<table>" IS 'aoc-migrate sha256:<objects signature>'$s$],
ARRAY['locked', $n$coalesce((NOT pg_temp.aoc_found('<target>_0003')->'not_null' ?& '{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}' OR pg_temp.aoc_found('<target>_0003')->'not_valid' <> '[]'), false) AND NOT (pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>'))$n$, 'NULL',
 $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_required_v1; ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND
  retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID; COMMENT ON CONSTRAINT <table>_required_v1 ON <schema>."<table>" IS 'aoc-migrate sha256:<required signature>'$s$],
ARRAY['locked', $n$EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND coalesce(NOT pg_temp.aoc_found('<target>_0003')->'not_null' ? attname::text, false) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated))$n$, $o$'NOT NULL of columns of <table>: ' || ((SELECT string_agg(format('%I is in the %s %s of %s', attname,
      CASE WHEN indisprimary THEN 'primary key' ELSE 'replica identity' END, indexrelid::regclass,
      indrelid::regclass), '; ' ORDER BY indrelid, attnum, indexrelid)
  FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    LEFT JOIN pg_constraint c ON conrelid = attrelid AND conkey[1] = attnum AND contype = 'n'
  WHERE (indisprimary OR indisreplident) AND attnotnull AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND coalesce(NOT pg_temp.aoc_found('<target>_0003')->'not_null' ? attname::text, false) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] = attnum AND contype = 'n' AND NOT convalidated) AND (indrelid = to_regclass('<schema>."<table>"') OR indrelid IN (
    SELECT relid FROM pg_partition_tree(to_regclass('<schema>."<table>"'))) AND conislocal IS NOT TRUE
      AND NOT ((c.oid IS NOT NULL OR NOT indisprimary) AND false))))$o$,
 $s$DO $aoc$ DECLARE parts text := (SELECT string_agg(format('ALTER %I DROP NOT NULL', attname), ', ') FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attnotnull AND attname = ANY
  ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}') AND coalesce(NOT pg_temp.aoc_found('<target>_0003')->'not_null' ? attname::text, false) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND conkey[1] =
  attnum AND contype = 'n' AND NOT convalidated)); BEGIN IF parts IS NOT NULL THEN EXECUTE format('ALTER TABLE %s %s', '<schema>."<table>"', parts); END IF; END $aoc$$s$],
ARRAY['locked', $n$EXISTS (SELECT FROM pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('<schema>."<table>"') AND convalidated AND coalesce(pg_temp.aoc_found('<target>_0003')->'not_valid' ? attname::text, false))$n$, 'NULL',
 $s$DO $aoc$ DECLARE entry record; identity text := (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = to_regclass('<schema>."<table>"') AND i.indisreplident); BEGIN FOR entry IN SELECT conname, attname, CASE WHEN
  connoinherit THEN ' NO INHERIT' END AS alone, obj_description(c.oid, 'pg_constraint') AS words FROM pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('<schema>."<table>"') AND
  convalidated AND coalesce(pg_temp.aoc_found('<target>_0003')->'not_valid' ? attname::text, false) LOOP IF identity IS NOT NULL THEN ALTER TABLE <schema>."<table>" REPLICA IDENTITY DEFAULT; END IF; EXECUTE
  format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I NOT NULL %3$I%4$s NOT VALID', '<schema>."<table>"', entry.conname, entry.attname, entry.alone); EXECUTE format('COMMENT ON CONSTRAINT %I ON %s IS %L', entry.conname, '<schema>."<table>"',
  entry.words); IF identity IS NOT NULL THEN EXECUTE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', '<schema>."<table>"', identity); END IF; END LOOP; END $aoc$$s$],
ARRAY['free', $n$pg_temp.aoc_found('<target>_0003') IS NOT NULL$n$, 'NULL', $s$DELETE FROM <schema>."aoc_migration_state" WHERE name = '<target>_0003'$s$]]);

SELECT pg_temp.aoc_enter('downgrade <target>_0002: Guard new rows: every rule except the one on content, as CHECK NOT VALID.');
-- DROP CONSTRAINT <table>_keys_v1, <table>_objects_v1, <table>_required_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; no row is read.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['locked', $n$pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_keys_v1', 'aoc-migrate sha256:<keys signature>')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_keys_v1$s$],
ARRAY['locked', $n$pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_objects_v1', 'aoc-migrate sha256:<objects signature>')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_objects_v1$s$],
ARRAY['locked', $n$pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_required_v1$s$]]);
-- DROP FUNCTION <table>_keys_ok_v1, <table>_objects_ok_v1 ON <table>: takes no lock on your tables; no constraint calls it any more.
CALL pg_temp.aoc_step('<schema>."<table>"', 'none', ARRAY[
ARRAY['kept', $n$pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>')$n$, $o$'<table>_keys_ok_v1 is kept: ' || (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>'))$o$,
 $s$DROP FUNCTION IF EXISTS <schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)$s$],
ARRAY['kept', $n$pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>')$n$, $o$'<table>_objects_ok_v1 is kept: ' || (pg_temp.aoc_function_is_kept('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>'))$o$,
 $s$DROP FUNCTION IF EXISTS <schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)$s$]]);
UPDATE :"schema"."aoc_migration_hold" SET finished = true, held_at = now() WHERE command NOT LIKE '%downgrade %';

-- ======== Otherwise: add them.

\else

SELECT pg_temp.aoc_enter('upgrade <target>_0001: Baseline: the raw table and its supersedes column exist.');
-- CREATE TABLE <table>: takes no lock on your tables; a fresh installation has no raw table yet.
-- ADD COLUMN supersedes ON <table>: ACCESS EXCLUSIVE on <table> for an instant; nullable and without a default, so no row is rewritten.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['free', $n$NOT pg_temp.aoc_found('target') IS NOT NULL$n$, 'NULL', $s$INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT 'target', jsonb_build_object('name', '<target>') ON CONFLICT (name) DO NOTHING$s$],
ARRAY['free', $n$NOT pg_temp.aoc_found('<target>_0001') IS NOT NULL$n$, 'NULL',
 $s$INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT '<target>_0001', jsonb_build_object('table_found', to_regclass('<schema>."<table>"') IS NOT NULL, 'link_found', EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"')
  AND attname = 'supersedes' AND NOT attisdropped)) ON CONFLICT (name) DO NOTHING$s$],
ARRAY['free', $n$NOT to_regclass('<schema>."<table>"') IS NOT NULL$n$, 'NULL',
 $s$CREATE TABLE IF NOT EXISTS <schema>."<table>" ( id text PRIMARY KEY, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz, source jsonb, upstream jsonb, linkset jsonb, content jsonb, identifiers jsonb, supersedes text,
  created_at timestamptz DEFAULT now() )$s$],
ARRAY['locked', $n$to_regclass('<schema>."<table>"') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND attname = 'supersedes' AND NOT attisdropped)$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" ADD COLUMN IF NOT EXISTS supersedes text$s$]]);
CALL pg_temp.aoc_run($s$INSERT INTO <schema>."aoc_alembic_version" (version_num) SELECT '<target>_0001' WHERE NOT EXISTS (SELECT FROM <schema>."aoc_alembic_version")$s$);

SELECT pg_temp.aoc_enter('upgrade <target>_0002: Guard new rows: every rule except the one on content, as CHECK NOT VALID.');
-- CREATE FUNCTION <table>_keys_ok_v1, <table>_objects_ok_v1 ON <table>: takes no lock on your tables; the CHECK calls it: a call is short, and every INSERT parses the CHECK.
-- GRANT EXECUTE <table>_keys_ok_v1, <table>_objects_ok_v1 ON <table>: takes no lock on your tables; a role that may not run the function could store no row.
-- ADD CONSTRAINT <table>_keys_v1, <table>_objects_v1, <table>_required_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; NOT VALID: new rows are held from now on, no row is read.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)') IS NOT NULL)$n$, $o$'<table>_keys_ok_v1: ' || (CASE WHEN to_regprocedure('<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)') IS NOT NULL AND NOT pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)', '<keys digest>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$CREATE FUNCTION <schema>."<table>_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$$s$],
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)') IS NOT NULL)$n$, $o$'<table>_objects_ok_v1: ' || (CASE WHEN to_regprocedure('<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)') IS NOT NULL AND NOT pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)', '<objects digest>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$CREATE FUNCTION <schema>."<table>_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$$s$],
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)') IS NOT NULL) OR pg_temp.aoc_somebody_cannot_execute('<schema>."<table>"', '<schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz)')$n$, 'NULL',
 $s$GRANT EXECUTE ON FUNCTION <schema>."<table>_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC$s$],
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)') IS NOT NULL) OR pg_temp.aoc_somebody_cannot_execute('<schema>."<table>"', '<schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)')$n$, 'NULL',
 $s$GRANT EXECUTE ON FUNCTION <schema>."<table>_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC$s$],
ARRAY['locked', $n$NOT pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_keys_v1')$n$, $o$'<table>.<table>_keys_v1: ' || (CASE WHEN pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_keys_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_keys_v1', 'aoc-migrate sha256:<keys signature>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_keys_v1 CHECK (<schema>."<table>_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID; COMMENT ON CONSTRAINT <table>_keys_v1
  ON <schema>."<table>" IS 'aoc-migrate sha256:<keys signature>'$s$],
ARRAY['locked', $n$NOT pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_objects_v1')$n$, $o$'<table>.<table>_objects_v1: ' || (CASE WHEN pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_objects_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_objects_v1', 'aoc-migrate sha256:<objects signature>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_objects_v1 CHECK (<schema>."<table>_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID; COMMENT ON CONSTRAINT <table>_objects_v1 ON <schema>."<table>" IS
  'aoc-migrate sha256:<objects signature>'$s$],
ARRAY['locked', $n$NOT pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND pg_temp.aoc_nullable('<schema>."<table>"', '{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}')$n$, $o$'<table>.<table>_required_v1: ' || (CASE WHEN pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND
  linkset IS NOT NULL) NOT VALID; COMMENT ON CONSTRAINT <table>_required_v1 ON <schema>."<table>" IS 'aoc-migrate sha256:<required signature>'$s$]]);
CALL pg_temp.aoc_run($s$UPDATE <schema>."aoc_alembic_version" SET version_num = '<target>_0002' WHERE version_num = '<target>_0001'$s$);

SELECT pg_temp.aoc_enter('upgrade <target>_0003: Prove existing rows: validate the CHECKs in one scan, then SET NOT NULL without another.');
-- VALIDATE CONSTRAINT <table>_keys_v1, <table>_objects_v1, <table>_required_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; one scan proves all rows; reads and writes go on.
CALL pg_temp.aoc_step('<schema>."<table>"', 'SHARE UPDATE EXCLUSIVE', ARRAY[ARRAY['locked', $n$pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND (pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_keys_v1') OR pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_objects_v1') OR pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_required_v1'))$n$, 'NULL',
 $s$ALTER TABLE <schema>."<table>" VALIDATE CONSTRAINT <table>_keys_v1, VALIDATE CONSTRAINT <table>_objects_v1, VALIDATE CONSTRAINT <table>_required_v1$s$]]);
-- VALIDATE CONSTRAINT <table>_keys_v1, <table>_objects_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; one scan proves all rows; reads and writes go on.
CALL pg_temp.aoc_step('<schema>."<table>"', 'SHARE UPDATE EXCLUSIVE', ARRAY[ARRAY['locked', $n$pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_keys_v1') OR pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_objects_v1')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" VALIDATE CONSTRAINT <table>_keys_v1, VALIDATE CONSTRAINT <table>_objects_v1$s$]]);
CALL pg_temp.aoc_step('<schema>."aoc_migration_state"', 'none', ARRAY[ARRAY['free', $n$NOT pg_temp.aoc_found('<target>_0003') IS NOT NULL AND EXISTS (SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] WHERE conrelid = to_regclass('<schema>."<table>"') AND contype = 'n' AND NOT convalidated AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}'))$n$, 'NULL',
 $s$INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT '<target>_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."<table>"'::regclass AND attnotnull AND attnum > 0),
  'not_valid', (SELECT jsonb_agg(attname) FROM pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('<schema>."<table>"') AND NOT convalidated AND attname = ANY
  ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}'))) ON CONFLICT (name) DO NOTHING$s$]]);
-- VALIDATE NOT NULL tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; one scan proves what was NOT VALID; reads and writes go on.
CALL pg_temp.aoc_step('<schema>."<table>"', 'SHARE UPDATE EXCLUSIVE', ARRAY[ARRAY['locked', $n$EXISTS (SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] WHERE conrelid = to_regclass('<schema>."<table>"') AND contype = 'n' AND NOT convalidated AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}'))$n$, 'NULL',
 $s$DO $aoc$ DECLARE parts text := (SELECT string_agg(format('VALIDATE CONSTRAINT %I', conname), ', ') FROM pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n' WHERE conrelid = to_regclass('<schema>."<table>"') AND
  NOT convalidated AND attname = ANY ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}')); BEGIN IF parts IS NOT NULL THEN EXECUTE format('ALTER TABLE %s %s', '<schema>."<table>"', parts); END IF; END $aoc$$s$]]);
-- SET NOT NULL tenant, source_vendor, upstream_id, content_hash, retrieved_at, source, upstream, linkset ON <table>: ACCESS EXCLUSIVE on <table> for an instant; the validated CHECK proves it, so no row is read.
-- DROP CONSTRAINT <table>_required_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; no row is read.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['free', $n$NOT pg_temp.aoc_found('<target>_0003') IS NOT NULL$n$, 'NULL',
 $s$INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT '<target>_0003', jsonb_build_object('not_null', (SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute WHERE attrelid = '<schema>."<table>"'::regclass AND attnotnull AND attnum > 0)) ON
  CONFLICT (name) DO NOTHING$s$],
ARRAY['locked', $n$pg_temp.aoc_nullable('<schema>."<table>"', '{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}')$n$, 'NULL',
 $s$DO $aoc$ DECLARE parts text := (SELECT string_agg(format('ALTER %I SET NOT NULL', attname), ', ') FROM pg_attribute WHERE attrelid = to_regclass('<schema>."<table>"') AND NOT attnotnull AND attname = ANY
  ('{tenant,source_vendor,upstream_id,content_hash,retrieved_at,source,upstream,linkset}')); BEGIN IF parts IS NOT NULL THEN EXECUTE format('ALTER TABLE %s %s', '<schema>."<table>"', parts); END IF; END $aoc$$s$],
ARRAY['locked', $n$pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>')$n$, $o$'<table>.<table>_required_v1: ' || (CASE WHEN pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_required_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_required_v1', 'aoc-migrate sha256:<required signature>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$ALTER TABLE <schema>."<table>" DROP CONSTRAINT IF EXISTS <table>_required_v1$s$]]);
CALL pg_temp.aoc_run($s$UPDATE <schema>."aoc_alembic_version" SET version_num = '<target>_0003' WHERE version_num = '<target>_0002'$s$);

SELECT pg_temp.aoc_enter('upgrade <target>_0004: Idempotency index: one row per tenant, vendor, upstream id and content hash.');
CALL pg_temp.aoc_step('<schema>."aoc_migration_state"', 'none', ARRAY[ARRAY['free', $n$NOT pg_temp.aoc_found('<target>_0004') IS NOT NULL$n$, $o$'<table>_idempotency_v1: ' || (CASE WHEN to_regclass('<schema>."<table>_idempotency_v1"') IS NOT NULL AND NOT pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) THEN 'it was not made by aoc-migrate' END)$o$,
 $s$INSERT INTO <schema>."aoc_migration_state" (name, value) SELECT '<target>_0004', jsonb_build_object('index_found', EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indisvalid)) ON CONFLICT (name) DO NOTHING$s$]]);
-- DROP INDEX CONCURRENTLY <table>_idempotency_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; reads and writes go on; it waits for older transactions.
CALL pg_temp.aoc_step('<schema>."<table>"', 'wait', ARRAY[ARRAY['locked', $n$EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indrelid = to_regclass('<schema>."<table>"') AND NOT (indisvalid AND indisready AND indislive))$n$, 'NULL', 'SELECT']]);
SELECT pg_temp.aoc_alone($o$coalesce('<table>_idempotency_v1: ' || (CASE WHEN to_regclass('<schema>."<table>_idempotency_v1"') IS NOT NULL AND NOT pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) THEN 'it was not made by aoc-migrate' END), CASE WHEN EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indrelid = to_regclass('<schema>."<table>"') AND NOT (indisvalid AND indisready AND indislive)) THEN (SELECT string_agg(DISTINCT coalesce('pid ' || pid, 'a prepared transaction'), ', ') FROM pg_locks WHERE transactionid IN (SELECT xmax FROM pg_index WHERE indrelid = to_regclass('<schema>."<table>"')) AND granted AND pid IS DISTINCT FROM pg_backend_pid()) || ' has yet to commit <table>_idempotency_v1: let that end, and run this again' END)$o$,
  $n$EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('<schema>."<table>_idempotency_v1"') AND indrelid = to_regclass('<schema>."<table>"') AND NOT (indisvalid AND indisready AND indislive))$n$, $s$DROP INDEX CONCURRENTLY IF EXISTS <schema>."<table>_idempotency_v1"$s$) \gexec
-- CREATE UNIQUE INDEX CONCURRENTLY <table>_idempotency_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; reads and writes go on; it waits for older transactions.
SELECT pg_temp.aoc_alone($o$'<table>_idempotency_v1: ' || (CASE WHEN to_regclass('<schema>."<table>_idempotency_v1"') IS NOT NULL AND NOT pg_temp.aoc_index_is_ours('<schema>."<table>"', '<schema>."<table>_idempotency_v1"', true, ARRAY['tenant', 'source_vendor', 'upstream_id', 'content_hash']) THEN 'it was not made by aoc-migrate' END)$o$,
  $n$NOT to_regclass('<schema>."<table>_idempotency_v1"') IS NOT NULL$n$, $s$CREATE UNIQUE INDEX CONCURRENTLY <table>_idempotency_v1 ON <schema>."<table>" (tenant, source_vendor, upstream_id, content_hash)$s$) \gexec
CALL pg_temp.aoc_run($s$UPDATE <schema>."aoc_alembic_version" SET version_num = '<target>_0004' WHERE version_num = '<target>_0003'$s$);

SELECT :'aoc_guard'::boolean AS aoc_due \gset \if :aoc_due
SELECT pg_temp.aoc_enter('upgrade <target>_0007: Guard content: no forbidden key at the top level of content, for new and old rows.');
-- CREATE FUNCTION <table>_content_ok_v1 ON <table>: takes no lock on your tables; the CHECK calls it: a call is short, and every INSERT parses the CHECK.
-- GRANT EXECUTE <table>_content_ok_v1 ON <table>: takes no lock on your tables; a role that may not run the function could store no row.
-- ADD CONSTRAINT <table>_content_v1 ON <table>: ACCESS EXCLUSIVE on <table> for an instant; NOT VALID: new rows are held from now on, no row is read.
CALL pg_temp.aoc_step('<schema>."<table>"', 'ACCESS EXCLUSIVE', ARRAY[
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_content_ok_v1"(jsonb)') IS NOT NULL)$n$, $o$'<table>_content_ok_v1: ' || (CASE WHEN to_regprocedure('<schema>."<table>_content_ok_v1"(jsonb)') IS NOT NULL AND NOT pg_temp.aoc_function_is_ours('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)', '<content digest>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$CREATE FUNCTION <schema>."<table>_content_ok_v1"(content jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$$s$],
ARRAY['free', $n$NOT (to_regprocedure('<schema>."<table>_content_ok_v1"(jsonb)') IS NOT NULL) OR pg_temp.aoc_somebody_cannot_execute('<schema>."<table>"', '<schema>."<table>_content_ok_v1"(jsonb)')$n$, 'NULL', $s$GRANT EXECUTE ON FUNCTION <schema>."<table>_content_ok_v1"(jsonb) TO PUBLIC$s$],
ARRAY['locked', $n$NOT pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_content_v1')$n$, $o$'<table>.<table>_content_v1: ' || (CASE WHEN pg_temp.aoc_has_constraint('<schema>."<table>"', '<table>_content_v1') AND NOT pg_temp.aoc_constraint_is_ours('<schema>."<table>"', '<table>_content_v1', 'aoc-migrate sha256:<content signature>') THEN 'it was not made by aoc-migrate' END)$o$,
 $s$ALTER TABLE <schema>."<table>" ADD CONSTRAINT <table>_content_v1 CHECK (<schema>."<table>_content_ok_v1"(content::jsonb)) NOT VALID; COMMENT ON CONSTRAINT <table>_content_v1 ON <schema>."<table>" IS 'aoc-migrate sha256:<content signature>'$s$]]);
-- VALIDATE CONSTRAINT <table>_content_v1 ON <table>: SHARE UPDATE EXCLUSIVE on <table> while it runs; one scan proves all rows; reads and writes go on.
CALL pg_temp.aoc_step('<schema>."<table>"', 'SHARE UPDATE EXCLUSIVE', ARRAY[ARRAY['locked', $n$pg_temp.aoc_has_unproven('<schema>."<table>"', '<table>_content_v1')$n$, 'NULL', $s$ALTER TABLE <schema>."<table>" VALIDATE CONSTRAINT <table>_content_v1$s$]]);
\endif
DELETE FROM :"schema"."aoc_migration_hold";
\endif

-- ======== End.

CALL pg_temp.aoc_run($s$DO $aoc$ DECLARE entry record; BEGIN FOR entry IN SELECT DISTINCT c.oid::regclass AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl,
  acldefault('r', r.relowner))) AS a, pg_class c WHERE r.oid = to_regclass('<schema>."<table>"') AND a.privilege_type = 'SELECT' AND c.oid IN (to_regclass('<schema>."aoc_alembic_version"'), to_regclass('<schema>."aoc_migration_hold"')) AND NOT
  has_table_privilege(CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, c.oid, 'SELECT') LOOP EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee); END LOOP; END $aoc$$s$);
SELECT coalesce(pg_temp.aoc_read('aoc_alembic_version', 'max(version_num)'), 'base') AS aoc_revision \gset
UPDATE :"schema"."aoc_migration_log" SET outcome = 'done', revision = :'aoc_revision', ended_at = now(), seen_at = now() WHERE run = :aoc_run;
\echo :aoc_target is at :aoc_revision
\else
\echo :aoc_target has nothing to remove: nothing was changed, and this leaves no hold
\endif
SELECT NOT :'aoc_guard'::boolean AND NOT :'aoc_remove'::boolean AS aoc_unguarded \gset
\if :aoc_unguarded \echo content of :aoc_table stays unguarded until head, after the backfill; -v content=1 adds its guard now \endif
SELECT pg_advisory_unlock(current_setting('aoc.lock')::bigint) AS aoc_x \gset
