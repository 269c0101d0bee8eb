SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade concelier_0006 -> concelier_0007

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."advisory_raw_content_ok_v1"(jsonb)');
BEGIN
  IF found IS NULL THEN
    CREATE FUNCTION "public"."advisory_raw_content_ok_v1"(content jsonb) RETURNS boolean
      LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
      AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((coalesce(content, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{format,spec_version,raw}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
    GRANT EXECUTE ON FUNCTION "public"."advisory_raw_content_ok_v1"(jsonb) TO PUBLIC;
  ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = 'f7dd11d067a8fe485f420a7323f608e8d47f4a3f0d8c2272fdb9c328a0951c43') THEN
    RAISE EXCEPTION 'advisory_raw_content_ok_v1 is not the function that the contract asks for';
  END IF;
END $aoc$;

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."advisory_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."advisory_raw"
  ADD CONSTRAINT advisory_raw_content_v1 CHECK ("public"."advisory_raw_content_ok_v1"(content::jsonb)) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_content_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:aa13c9e84d49f120fd99e80eb790567f85d16a2037467ef34396e6a067ea9a25';

COMMIT;

ALTER TABLE "public"."advisory_raw"
  VALIDATE CONSTRAINT advisory_raw_content_v1;

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='concelier_0007' WHERE public.aoc_alembic_version.version_num = 'concelier_0006';

COMMIT;

