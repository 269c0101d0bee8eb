SET search_path TO pg_catalog, pg_temp;

SET row_security TO off;

BEGIN;

-- Running downgrade excititor_0006 -> excititor_0005

COMMIT;

DO $aoc$
DECLARE page record;
BEGIN
  LOOP
    WITH latest AS (
      DELETE FROM "public"."aoc_supersedes_journal" WHERE batch = (SELECT max(batch) FROM "public"."aoc_supersedes_journal") RETURNING ids, old, new
    ), pairs AS (
      SELECT p.* FROM latest, unnest(ids, old, new) AS p (id, old, new)
    ), written AS (
      UPDATE "public"."vex_raw" AS t SET supersedes = p.old FROM pairs AS p
      WHERE t.id = p.id AND t.supersedes IS NOT DISTINCT FROM p.new RETURNING t.id
    )
    SELECT (SELECT count(*) FROM latest) AS seen, (SELECT count(*) FROM written) AS written,
      ARRAY(SELECT id FROM pairs WHERE id NOT IN (SELECT id FROM written) ORDER BY id) AS kept INTO page;
    EXIT WHEN page.seen = 0;
    COMMIT;
  END LOOP;
END $aoc$;

DROP TABLE IF EXISTS "public"."aoc_supersedes_journal";

DELETE FROM "public"."aoc_migration_state" WHERE name = 'excititor_0006';

BEGIN;

UPDATE public.aoc_alembic_version SET version_num='excititor_0005' WHERE public.aoc_alembic_version.version_num = 'excititor_0006';

COMMIT;

