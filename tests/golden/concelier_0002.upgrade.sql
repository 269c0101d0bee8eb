SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running upgrade concelier_0001 -> concelier_0002

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz)');
BEGIN
  IF found IS NULL THEN
    CREATE FUNCTION "public"."advisory_raw_keys_ok_v1"(id text, tenant text, source_vendor text, upstream_id text, content_hash text, retrieved_at timestamptz) RETURNS boolean
      LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
      AS $aoc_body$BEGIN RETURN (coalesce(least(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.>=) '!'::pg_catalog.text AND greatest(id COLLATE pg_catalog."C", tenant COLLATE pg_catalog."C", source_vendor COLLATE pg_catalog."C", upstream_id COLLATE pg_catalog."C", content_hash COLLATE pg_catalog."C") OPERATOR(pg_catalog.<) '~'::pg_catalog.text, true) OR NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(tenant, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(source_vendor, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(upstream_id, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false) AND NOT coalesce(pg_catalog.octet_length(pg_catalog.btrim(content_hash, E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text)) OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)) AND NOT coalesce(pg_catalog.octet_length(tenant)::pg_catalog.int8 OPERATOR(pg_catalog.+) pg_catalog.octet_length(source_vendor) OPERATOR(pg_catalog.+) pg_catalog.octet_length(upstream_id) OPERATOR(pg_catalog.+) greatest(pg_catalog.octet_length(id), pg_catalog.octet_length(content_hash)) OPERATOR(pg_catalog.>) 2640::pg_catalog.int8, false) AND NOT coalesce(NOT pg_catalog.isfinite(retrieved_at), false); END$aoc_body$;
    GRANT EXECUTE ON FUNCTION "public"."advisory_raw_keys_ok_v1"(text, text, text, text, text, timestamptz) TO PUBLIC;
  ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '8739cda078d45abcc460b223d9a4b873bca8c7a8c4aa31e34509fe7247de6c08') THEN
    RAISE EXCEPTION 'advisory_raw_keys_ok_v1 is not the function that the contract asks for';
  END IF;
END $aoc$;

DO $aoc$
DECLARE found oid := to_regprocedure('"public"."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb)');
BEGIN
  IF found IS NULL THEN
    CREATE FUNCTION "public"."advisory_raw_objects_ok_v1"(source jsonb, upstream jsonb, linkset jsonb, identifiers jsonb) RETURNS boolean
      LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
      AS $aoc_body$BEGIN RETURN coalesce(pg_catalog.jsonb_path_match(((source OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{vendor,stream,api,collector_version}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((upstream OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{upstream_id,document_version,content_hash,fetched_at,signature}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((linkset OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{aliases,purls,cpes,references,reconciled_from}'::pg_catalog.text[]) OPERATOR(pg_catalog.||) ((coalesce(identifiers, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.||) '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) '{cve,ghsa,aliases}'::pg_catalog.text[]), 'strict $.type() == "object" && !exists($.keyvalue() ? (@.key starts with "effective_" || @.key == "severity" || @.key == "cvss" || @.key == "cvss_vector" || @.key == "merged_from" || @.key == "consensus_provider" || @.key == "reachability" || @.key == "asset_criticality" || @.key == "risk_score"))'::pg_catalog.jsonpath, '{}'::pg_catalog.jsonb, true), false); END$aoc_body$;
    GRANT EXECUTE ON FUNCTION "public"."advisory_raw_objects_ok_v1"(jsonb, jsonb, jsonb, jsonb) TO PUBLIC;
  ELSIF NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = to_regclass('"public"."advisory_raw"') WHERE p.oid = found AND pg_has_role(p.proowner, t.relowner, 'USAGE') AND encode(sha256(convert_to(concat_ws(' ', p.proname, p.proargnames, p.proargtypes, p.prorettype, l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.prosupport::oid, p.proconfig, p.prosrc), 'UTF8')), 'hex') = '0268feb79a22c3e83bb56bb3da74c3226b1c177340043a514b823962f708b15a') THEN
    RAISE EXCEPTION 'advisory_raw_objects_ok_v1 is not the function that the contract asks for';
  END IF;
END $aoc$;

SET LOCAL lock_timeout = '5000ms';

LOCK TABLE "public"."advisory_raw" IN SHARE UPDATE EXCLUSIVE MODE;

SET LOCAL lock_timeout = '100ms';

SET LOCAL statement_timeout = '100ms';

SET LOCAL synchronous_commit = off;

LOCK TABLE "public"."advisory_raw" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."advisory_raw"
  ADD CONSTRAINT advisory_raw_keys_v1 CHECK ("public"."advisory_raw_keys_ok_v1"(id::text, tenant::text, source_vendor::text, upstream_id::text, content_hash::text, retrieved_at::timestamptz)) NOT VALID,
  ADD CONSTRAINT advisory_raw_objects_v1 CHECK ("public"."advisory_raw_objects_ok_v1"(source::jsonb, upstream::jsonb, linkset::jsonb, identifiers::jsonb)) NOT VALID,
  ADD CONSTRAINT advisory_raw_required_v1 CHECK (tenant IS NOT NULL AND source_vendor IS NOT NULL AND upstream_id IS NOT NULL AND content_hash IS NOT NULL AND retrieved_at IS NOT NULL AND source IS NOT NULL AND upstream IS NOT NULL AND linkset IS NOT NULL) NOT VALID;

COMMENT ON CONSTRAINT advisory_raw_keys_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:0d4d93dac74bac6b9c9d5dc2eb835cd76cf9cb1a1db06793d7d8cdfecd3c58c0';

COMMENT ON CONSTRAINT advisory_raw_objects_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:48de30e909820e068df61568050eebd48ce02b81a3e86d797cba8dc44b6323d6';

COMMENT ON CONSTRAINT advisory_raw_required_v1 ON "public"."advisory_raw" IS 'aoc-migrate sha256:6474b6b3ff1d31c672663c7df514b5ef05f20b16b328e3406ce7a278c8144cd8';

UPDATE public.aoc_alembic_version SET version_num='concelier_0002' WHERE public.aoc_alembic_version.version_num = 'concelier_0001';

COMMIT;

