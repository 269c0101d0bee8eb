"""Functions of others that our writes to the raw table run, and that find their tables through search_path.

Our session's holds only pg_catalog and pg_temp, so that nobody's planted functions and operators are taken for
PostgreSQL's. Code on the table that relies on the service's path would break, or find something else.
"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.signature import FUNCTION_DIGEST
from aoc_migrate.report.accepted import Accepted, option
from aoc_migrate.report.model import Finding, make

INSERT, DELETE, UPDATE = 4, 8, 16  # tgtype (PostgreSQL source, catalog/pg_trigger.h)
LINKING = 64  # ours: an UPDATE of nothing but the link
WRITTEN = INSERT | UPDATE | LINKING  # what is computed for every new version of a row
SLUG = "needs-search-path"

_OWN_PATH = "EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path='))"
_CODE = "('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass)"

_QUERY = f"""
WITH RECURSIVE family AS (
  SELECT to_regclass(%(table)s)::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
), types AS (
  SELECT a.atttypid AS oid FROM pg_attribute a JOIN family ON a.attrelid = family.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION SELECT t.typbasetype FROM pg_type t JOIN types ON t.oid = types.oid WHERE t.typtype = 'd'
), attached (class, object, name, events) AS (
  SELECT 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & {INSERT | DELETE | UPDATE} | CASE WHEN g.tgtype & {UPDATE} <> 0
      AND (g.tgattr::text = '' OR a.attnum = ANY (g.tgattr)) THEN {LINKING} ELSE 0 END
  FROM pg_trigger g JOIN family ON g.tgrelid = family.oid
    LEFT JOIN pg_attribute a ON a.attrelid = g.tgrelid AND a.attname = %(link)s
  WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
  UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 'CHECK ' || quote_ident(k.conname), {WRITTEN}
  FROM pg_constraint k JOIN family ON k.conrelid = family.oid WHERE k.contype = 'c'
  UNION ALL SELECT 'pg_constraint'::regclass, k.oid,
    'CHECK ' || quote_ident(k.conname) || ' of domain ' || k.contypid::regtype, {WRITTEN}
  FROM pg_constraint k JOIN types ON k.contypid = types.oid WHERE k.contypid <> 0 AND k.contype = 'c'
  UNION ALL SELECT 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname),
    CASE WHEN a.attgenerated = '' THEN {INSERT} ELSE {WRITTEN} END
  FROM pg_attrdef d JOIN family ON d.adrelid = family.oid
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), {WRITTEN}
  FROM pg_index i JOIN family ON i.indrelid = family.oid JOIN pg_class x ON x.oid = i.indexrelid
  WHERE NOT x.relispartition
), run (name, events, class, object) AS (
  SELECT a.name, a.events, d.refclassid, d.refobjid FROM attached a
    JOIN pg_depend d ON d.classid = a.class AND d.objid = a.object WHERE d.refclassid IN {_CODE}
  UNION SELECT run.name, run.events, inside.class, inside.object FROM run CROSS JOIN LATERAL (
    SELECT 'pg_proc'::regclass::oid, oprcode::oid FROM pg_operator
    WHERE run.class = 'pg_operator'::regclass AND oid = run.object
    UNION ALL SELECT 'pg_proc'::regclass, castfunc FROM pg_cast
    WHERE run.class = 'pg_cast'::regclass AND oid = run.object
    UNION ALL SELECT d.refclassid, d.refobjid FROM pg_proc p
      JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid IN {_CODE}
    WHERE run.class = 'pg_proc'::regclass AND p.oid = run.object AND p.prosqlbody IS NOT NULL AND NOT {_OWN_PATH}
  ) AS inside (class, object)
)
SELECT p.oid::regprocedure::text AS function, n.nspname::text AS schema,
  array_agg(DISTINCT run.name ORDER BY run.name) AS names, bit_or(run.events) AS events
FROM run JOIN pg_proc p ON p.oid = run.object JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
WHERE run.class = 'pg_proc'::regclass AND run.events & %(events)s <> 0 AND p.prosqlbody IS NULL
  AND l.lanname NOT IN ('c', 'internal') AND NOT {_OWN_PATH} AND ({FUNCTION_DIGEST} = ANY (%(ours)s)) IS NOT TRUE
GROUP BY p.oid, n.nspname ORDER BY 1
"""
"""An SQL-standard body was bound when it was made; what it calls was not, and runs under the path that it has."""


def needs_search_path(session: Session, contract: Contract, events: int, accepted: Accepted) -> Iterator[Finding]:
    """Yield the functions of others that writes run; ``events`` is a sum of INSERT, DELETE, UPDATE and LINKING."""
    for row in _attached(session, contract, events):
        name = row["function"]
        if not accepted.has(SLUG, name):
            schemas = dict.fromkeys((session.target.schema, row["schema"], "pg_temp"))
            yield make(
                SLUG,
                name,
                table=contract.table,
                runs=", ".join(row["names"]),
                path=", ".join(session.quoted(schema) for schema in schemas),
                accept=option(SLUG, name),
            )


def run_by_links(session: Session, contract: Contract, accepted: Accepted) -> list[str]:
    """Return the functions, not accepted, that the backfill would run and the probe's INSERT would not."""
    return [
        row["function"]
        for row in _attached(session, contract, LINKING)
        if not row["events"] & INSERT and not accepted.has(SLUG, row["function"])
    ]


def _attached(session: Session, contract: Contract, events: int) -> list[Row]:
    """Return each function that would not find its tables, its schema, what runs it, and at which events.

    The contract's own functions are known by their digest: their bodies name everything with its schema.
    """
    return session.rows(
        _QUERY,
        {
            "table": str(session.schema[contract.table]),
            "link": contract.link,
            "events": events,
            "ours": [check.function_digest for check in contract.checks() if check.function],
        },
    )
