"""Code of others that our writes to the raw table would run: its owner is not trusted, or it needs a search_path.

Such code would run with the rights of the migrating role. Our session's search_path holds only pg_catalog and
pg_temp, so that planted functions and operators never pass for PostgreSQL's: code that relies on the service's
path would break, or find something else.
"""

from collections.abc import Callable, Iterable

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.events import DDL, DELETE, INSERT, LINKING, UPDATE, WRITTEN, linked
from aoc_migrate.database.key_owners import of_family
from aoc_migrate.database.relation import Relation, literal
from aoc_migrate.database.session import Row, Session
from aoc_migrate.database.signature import FUNCTION_DIGEST
from aoc_migrate.database.spread.partitions import family
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import Finding, finding

FOREIGN, NEEDS = "foreign-code", "needs-search-path"

_FIRES = "IN ('O', 'A')"
_OWN_PATH = "EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path='))"
_CHANGES = "('c', 'n', 'd')"  # what a foreign key does to the rows that refer: CASCADE, SET NULL, SET DEFAULT
_KEY = "the partition key"
_CALLED = ", ".join(
    f"'{name}'::regclass" for name in ("pg_proc", "pg_operator", "pg_cast", "pg_type", "pg_opclass")
)


def _parts(link: str, owner: str) -> str:
    """Return what belongs to a table and runs when it is written: (rel, class, object, name, events).

    A column of a composite type runs nothing: only an expression makes a row of that type. The query that checks a
    foreign key runs immutable functions in the indexes of the other table, here one of the trusted ``owner``'s.
    """
    return f"""
  SELECT g.tgrelid, 'pg_trigger'::regclass::oid, g.oid, 'trigger ' || quote_ident(g.tgname),
    g.tgtype & {INSERT | DELETE | UPDATE} | CASE WHEN g.tgtype & {UPDATE} <> 0
      AND (g.tgattr::text = '' OR {linked(link, "g.tgrelid", "g.tgattr")}) THEN {LINKING} ELSE 0 END
  FROM pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled {_FIRES}
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, 'rule ' || quote_ident(r.rulename),
    CASE r.ev_type WHEN '2' THEN {UPDATE | LINKING} WHEN '3' THEN {INSERT} WHEN '4' THEN {DELETE} ELSE 0 END
  FROM pg_rewrite r WHERE r.ev_enabled {_FIRES}
  UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid,
    CASE k.contype WHEN 'c' THEN 'CHECK ' ELSE 'foreign key ' END || quote_ident(k.conname), {WRITTEN}
  FROM pg_constraint k WHERE k.contype IN ('c', 'f')
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, k.conrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass,
    CASE WHEN k.confdeltype IN {_CHANGES} THEN {DELETE} ELSE 0 END
      | CASE WHEN k.confupdtype NOT IN {_CHANGES} THEN 0
        WHEN {linked(link, "k.confrelid", "k.confkey")} THEN {UPDATE | LINKING} ELSE {UPDATE} END
  FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
  UNION ALL SELECT k.confrelid, 'pg_class'::regclass, i.indexrelid,
    'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass, {DELETE | UPDATE}
  FROM pg_constraint k JOIN pg_index i ON i.indrelid = k.conrelid JOIN pg_class c ON c.oid = k.conrelid
  WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND {trusted("c.relowner", owner)}
  UNION ALL SELECT k.conrelid, 'pg_class'::regclass, i.indexrelid, 'foreign key ' || quote_ident(k.conname),
    {WRITTEN}
  FROM pg_constraint k JOIN pg_index i ON i.indrelid = k.confrelid JOIN pg_class c ON c.oid = k.confrelid
  WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND {trusted("c.relowner", owner)}
  UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid,
    CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END
      || quote_ident(a.attname), CASE WHEN a.attgenerated = '' THEN {INSERT} ELSE {WRITTEN} END
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL SELECT a.attrelid, 'pg_type'::regclass, a.atttypid, 'the type of column ' || quote_ident(a.attname),
    {WRITTEN}
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'c'
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, x.oid, 'index ' || quote_ident(x.relname), {WRITTEN}
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE NOT x.relispartition
  UNION ALL SELECT t.partrelid, d.refclassid, d.refobjid, '{_KEY}', {WRITTEN}
  FROM pg_partitioned_table t JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.partrelid
  WHERE d.objsubid = 0 AND d.refclassid IN ({_CALLED})
  UNION ALL SELECT y.polrelid, 'pg_policy'::regclass, y.oid, 'policy ' || quote_ident(y.polname),
    {WRITTEN | DELETE}
  FROM pg_policy y WHERE row_security_active(y.polrelid)
"""


def attached(raw: Relation, contracts: Iterable[Contract], events: int | str) -> str:
    """Return a query of (slug, function, schema, owner, names, events): the code that writes to ``raw`` would run.

    A function of both kinds has two rows. ``names`` are the objects that run it, ``events`` those of the given
    events at which it runs: a sum of INSERT, DELETE, UPDATE, LINKING and DDL. The contract's own functions are
    recognized by their digest: their bodies name everything with its schema.

    OFFSET 0 makes PostgreSQL find each object by index; without it, whole catalogs would be read.

    The query follows dependencies from the table's own objects, and the partition keys of the tables above it, to
    functions: through operators, casts, types, their fields and operator classes, SQL-standard bodies and views,
    and the objects of tables to which a rule, such a body or a foreign key may write. ``pinned``: a function on
    the way sets its own search_path, or it runs only with constants, as in an index of the table that a foreign
    key names. An SQL-standard body was bound when it was made; the functions that it calls were not, and run under
    the current path. Tables of untrusted roles that foreign keys make us query are rows too.
    """
    known = [check for contract in contracts for check in contract.checks() if check.function]
    ours, (link,) = ", ".join(literal(check.function_digest) for check in known), {c.link for c in contracts}
    return f"""
WITH RECURSIVE {family(raw.literal)},
parts (rel, class, object, name, events) AS NOT MATERIALIZED ({_parts(literal(link), owner_of(raw))}
), attached (name, events, class, object) AS (
  SELECT p.name, p.events, p.class, p.object FROM (
    SELECT oid, false FROM family
    UNION ALL SELECT a, true FROM pg_partition_ancestors(to_regclass({raw.literal})) AS a
  ) AS t (oid, above) CROSS JOIN LATERAL (SELECT * FROM parts WHERE rel = t.oid OFFSET 0) AS p
  WHERE NOT t.above OR p.name = '{_KEY}'
  UNION SELECT 'event trigger ' || quote_ident(evtname), {DDL}, 'pg_event_trigger'::regclass, oid
  FROM pg_event_trigger WHERE evtenabled {_FIRES} AND evtevent <> 'login'
), run (name, events, class, object, pinned) AS (
  SELECT name, events, class, object, class = 'pg_class'::regclass AND starts_with(name, 'foreign key')
    AND EXISTS (SELECT FROM pg_index WHERE indexrelid = object) FROM attached WHERE events & ({events}) <> 0
  UNION SELECT run.name, run.events, inside.class, inside.object, run.pinned OR run.class = 'pg_proc'::regclass
    AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND {_OWN_PATH})
  FROM run CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass
      AND c.oid = d.refobjid AND (run.class = 'pg_rewrite'::regclass
        OR run.class IN ('pg_proc'::regclass, 'pg_policy'::regclass) AND (c.relkind = 'v'
          OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = run.object AND p.provolatile = 'v')))
    WHERE d.classid = run.class AND d.objid = run.object AND (d.refclassid IN ({_CALLED}) OR c.oid IS NOT NULL)
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
  SELECT p.oid, p.proowner, n.nspname, NOT {trusted("p.proowner", owner_of(raw))} AS "foreign",
    p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT {_OWN_PATH} AS loose
  FROM (SELECT DISTINCT object FROM run WHERE class = 'pg_proc'::regclass) AS called CROSS JOIN LATERAL (
    SELECT * FROM pg_proc WHERE oid = called.object OFFSET 0
  ) AS p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE ({FUNCTION_DIGEST} = ANY (ARRAY[{ours}]::text[])) IS NOT TRUE
)
SELECT kind.slug, known.oid::regprocedure::text AS function, known.nspname::text AS schema,
  quote_ident(pg_get_userbyid(known.proowner)) AS owner, array_agg(DISTINCT run.name ORDER BY run.name) AS names,
  bit_or(run.events & ({events})) AS events
FROM known JOIN run ON run.class = 'pg_proc'::regclass AND run.object = known.oid CROSS JOIN LATERAL (VALUES
  ('{FOREIGN}', known."foreign"), ('{NEEDS}', known.loose AND NOT run.pinned AND run.events <> {DDL})
) AS kind (slug, is_so)
WHERE kind.is_so GROUP BY kind.slug, known.oid, known.nspname, known.proowner
UNION ALL {of_family(raw, events, literal(link))} ORDER BY 1, 2
"""


def attached_to_ddl(raw: Relation) -> str:
    """Return the rows of `attached` for DDL alone: the functions of event triggers."""
    return f"""SELECT '{FOREIGN}' AS slug, p.oid::regprocedure::text AS function, n.nspname::text AS schema,
  quote_ident(pg_get_userbyid(p.proowner)) AS owner, array_agg('event trigger ' || quote_ident(evtname)) AS names,
  {DDL} AS events
FROM pg_event_trigger JOIN pg_proc p ON p.oid = evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE evtenabled {_FIRES} AND evtevent <> 'login' AND NOT {trusted("p.proowner", owner_of(raw))}
GROUP BY p.oid, 3, 4"""


def unaccepted(session: Session, contract: Contract, events: int) -> list[Row]:
    """Return the rows of `attached` that nobody has accepted."""
    rows = session.rows(attached(session.schema[contract.table], [contract], events))
    return [row for row in rows if not session.accepted.has(row["slug"], row["function"])]


def findings(session: Session, contract: Contract, rows: list[Row]) -> list[Finding]:
    """Return ``foreign-code``, ``needs-search-path`` and ``foreign-key-owner`` for rows of `attached`."""
    if not rows:
        return []
    owner = session.value(f"SELECT quote_ident(pg_get_userbyid({owner_of(session.schema[contract.table])}))")
    return [
        finding(
            row["slug"],
            row["function"],
            table=contract.table,
            runs=", ".join(row["names"]),
            role=row["owner"],
            owner=owner,
            path=", ".join(
                session.quoted(s) for s in dict.fromkeys((session.target.schema, row["schema"], "pg_temp"))
            ),
            accept=option(row["slug"], row["function"]),
        )
        for row in rows
    ]


def code_findings(session: Session, contract: Contract, events: int) -> list[Finding]:
    """Return the code that a write, or DDL, would run and must not; ``events`` is a sum of the constants above."""
    return findings(session, contract, unaccepted(session, contract, events))


def link_findings(session: Session, contract: Contract, to_write: Callable[[], object]) -> list[Finding]:
    """Return the code that batches which set links would run and must not.

    A statement's triggers fire even where it finds no row, and rows may arrive at any time: foreign code always
    stops the step. Code that only needs a search_path stops it where ``to_write()`` finds rows to write.
    """
    rows = unaccepted(session, contract, LINKING)
    if rows and not to_write():
        rows = [row for row in rows if row["slug"] != NEEDS]
    return findings(session, contract, rows)


def refuse(session: Session, found: list[Finding]) -> None:
    """Raise Abort for the last of ``found``, if any; the report has the others as well."""
    if found:
        session.findings += found[:-1]
        raise Abort(found[-1])
