SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade excititor_0006 -> excititor_0007

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."vex_raw_content_ok_v1"(jsonb)');
BEGIN
  IF found IS NULL THEN
    CREATE FUNCTION "public"."vex_raw_content_ok_v1"(content jsonb) RETURNS boolean
      LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
      AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
    GRANT EXECUTE ON FUNCTION "public"."vex_raw_content_ok_v1"(jsonb) TO PUBLIC;
  ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."vex_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f340833da9754800a9a98d1220646a302b35e6ec3788cc5fe0586e76ad62838a') THEN
    RAISE EXCEPTION 'vex_raw_content_ok_v1 is not the function that the contract asks for';
  END IF;
END $aoc$;

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."vex_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."vex_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."vex_raw"
  ADD CONSTRAINT vex_raw_content_v1 CHECK ("public"."vex_raw_content_ok_v1"(content::jsonb)) NOT VALID;

COMMENT ON CONSTRAINT vex_raw_content_v1 ON "public"."vex_raw" IS 'aoc-migrate sha256:04cea61ecfd7ae5385b8791f88d503dbf5716b385d5b7904cc511d197af5320d';

COMMIT;

ALTER TABLE "public"."vex_raw"
  VALIDATE CONSTRAINT vex_raw_content_v1;

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='excititor_0007' WHERE public.aoc_alembic_version.version_num = 'excititor_0006';

COMMIT;

