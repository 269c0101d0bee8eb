"""What would refuse the UPDATEs that write links, found before the first of them.

A rule, the replica identity of a published table and a generated column refuse the statement itself, even where it
finds no row. The type of the link column, NOT NULL, and others' CHECKs, foreign keys and unique indexes refuse
single rows.
"""

from collections.abc import Callable

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.attached_code import unaccepted
from aoc_migrate.database.events import LINKING
from aoc_migrate.database.majors import enforced
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import family
from aoc_migrate.database.spread.shape import spread_of
from aoc_migrate.database.table_scan import read
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.report.model import Finding, finding

Links = Callable[[Contract, Schema, tuple[str, ...]], str]
"""Makes a query of the links to write: the columns that find a row, then the link."""

_IDENTITY = """SELECT c.oid, c.relreplident, c.oid::regclass::text AS name, ARRAY(SELECT a.attname
      FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
      WHERE i.indrelid = c.oid AND i.indislive AND i.indisvalid AND i.indisunique AND i.indimmediate
        AND i.indpred IS NULL
        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END
    ) AS identity
  FROM family JOIN pg_class c USING (oid)
  WHERE c.relkind = 'r' AND c.relpersistence = 'p'"""
_LISTED = "SELECT attname FROM pg_attribute WHERE attrelid = r.prrelid AND attnum = ANY (r.prattrs::int2[])"
_FILTERED = (
    r"SELECT attname FROM regexp_matches(r.prqual::text, ':varattno (\d+)', 'g') AS var (number) "
    "JOIN pg_attribute ON attrelid = r.prrelid AND attnum = number[1]::int"
)


def statement_obstacles(contract: Contract, raw: Relation) -> str:
    """Return a query of (slug, subject, reason, remedy): what makes every UPDATE of the link fail.

    PostgreSQL checks the replica identity of each partition that holds rows, for the publications of the partition
    and of all tables above it, and in a row filter and a column list the columns as well (PostgreSQL source,
    execReplication.c and publicationcmds.c). The row filter names its columns by number.
    """
    return f"""WITH RECURSIVE {family(raw.literal)}, leaf AS (
  {_IDENTITY}
), line AS (
  SELECT leaf.oid AS leaf, above.relid AS rel FROM leaf CROSS JOIN LATERAL (
    SELECT leaf.oid AS relid UNION SELECT relid FROM pg_partition_ancestors(leaf.oid)) AS above
), published AS (
  SELECT leaf.*, p.pubname, r.prattrs, ARRAY({_LISTED}) AS listed, ARRAY({_FILTERED}) AS filtered
  FROM leaf JOIN line ON line.leaf = leaf.oid JOIN pg_class c ON c.oid = line.rel
  JOIN pg_publication p ON p.pubupdate LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = line.rel
  WHERE p.puballtables OR r.oid IS NOT NULL
    OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)
)
SELECT 'update-rule' AS slug, c.relname::text AS subject,
  format('its rule %I rewrites or discards every UPDATE', rulename) AS reason,
  format('Run: ALTER TABLE %s DISABLE RULE %I; Enable it again afterwards.', ev_class::regclass, rulename)
    AS remedy
FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class
WHERE ev_class = to_regclass({raw.literal}) AND ev_type = '2' AND ev_enabled IN ('O', 'A')
UNION ALL SELECT DISTINCT 'replica-identity', name, format(why.reason, pubname), format(why.remedy, name, pubname)
FROM published CROSS JOIN LATERAL (VALUES
  ('publication %I publishes its updates, and it has no replica identity',
    'Run: ALTER TABLE %1$s REPLICA IDENTITY DEFAULT; That needs a primary key. Without one, name a unique index '
    || 'on NOT NULL columns: ALTER TABLE %1$s REPLICA IDENTITY USING INDEX name;',
    relreplident <> 'f' AND identity = '{{}}'),
  ('the row filter of publication %I uses columns outside its replica identity',
    'Run: ALTER TABLE %1$s REPLICA IDENTITY FULL; Or change the row filter of publication %2$I.',
    relreplident <> 'f' AND identity <> '{{}}' AND NOT filtered <@ identity),
  ('the column list of publication %I leaves out columns of its replica identity',
    'Add the columns to publication %2$I, or publish all columns of %1$s.',
    prattrs IS NOT NULL AND (relreplident = 'f' OR NOT identity <@ listed))
) AS why (reason, remedy, is_so) WHERE why.is_so
UNION ALL SELECT 'link-generated', c.relname || '.' || attname, 'it is a generated column',
  format(CASE attgenerated WHEN 's' THEN 'Run: ALTER TABLE %s ALTER %I DROP EXPRESSION;'
    ELSE 'Run: ALTER TABLE %s DROP %I; The upgrade adds it again as a plain column.' END,
    attrelid::regclass, attname)
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE attrelid = to_regclass({raw.literal}) AND attname = {literal(contract.link)} AND attgenerated <> ''
ORDER BY 1, 2, 3"""


def _names(numbers: str, table: str, alias: str) -> str:
    """Return the SQL of a list of a table's columns, by their numbers in an array, each with an alias."""
    return (
        f"(SELECT string_agg(format('{alias}.%I', a.attname), ', ' ORDER BY k.n) "
        f"FROM unnest({numbers}) WITH ORDINALITY AS k (attnum, n) "
        f"JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = k.attnum)"
    )


def row_obstacles(contract: Contract, raw: Relation) -> str:
    """Return a query of (reason, remedy, code, listed, held, alike): what may refuse a row with a new link.

    ``held`` is a condition on the new row, whose columns are ``listed`` over a row ``t`` and the relation ``new``
    of (id, value); ``alike``, its column ``aoc_alike``, is the number of new rows with its key. ``code``: the
    CHECK or index as `attached_code` names it. A proven CHECK that does not depend on the link is left out: it
    holds for the new row as for the old. A unique index may refuse a link that another row still has at that
    moment, or also gets. What an index on an expression or an exclusion constraint does, only the UPDATE shows. A
    CHECK over the whole row is left to the UPDATE: it names the row by its table.
    """
    link, unique = literal(contract.link), "indkey[0:indnkeyatts - 1]"
    return f"""WITH RECURSIVE {family(raw.literal)}, link AS (
  SELECT a.* FROM family JOIN pg_class c USING (oid) JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relkind = 'r' AND a.attname = {link} AND a.attgenerated = ''
    AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)
), refusing (reason, remedy, code, held, rel, alike) AS (
  SELECT format('its type %s is too short', format_type(atttypid, atttypmod)),
    format('ALTER %I TYPE text', attname), NULL, format('char_length(%I) <= %s', attname, atttypmod - 4),
    attrelid, NULL
  FROM link WHERE atttypid = 'varchar'::regtype AND atttypmod >= 4
  UNION ALL SELECT 'it is NOT NULL, but the first revision of a document has no link',
    format('ALTER %1$I DROP NOT NULL, ALTER %1$I DROP DEFAULT', attname), NULL, format('%I IS NOT NULL', attname),
    attrelid, NULL
  FROM link WHERE attnotnull
  UNION ALL SELECT format('CHECK %I forbids them', conname), format('DROP CONSTRAINT %I', conname),
    format('CHECK %I', conname), pg_get_expr(conbin, conrelid), conrelid, NULL
  FROM link JOIN pg_constraint k ON conrelid = attrelid AND contype = 'c'
  WHERE (NOT convalidated OR attnum = ANY (conkey)) AND 0 <> ALL (conkey)
    AND {enforced("k")}
  UNION ALL SELECT format('foreign key %I refers to %s', conname, confrelid::regclass),
    format('DROP CONSTRAINT %I', conname), NULL,
    format('(%s) IS NULL OR EXISTS (SELECT FROM %s AS o WHERE (%s) = (%1$s))', {_names("conkey", "conrelid", "t")},
      confrelid::regclass, {_names("confkey", "confrelid", "o")}), conrelid, NULL
  FROM link JOIN pg_constraint k ON conrelid = attrelid AND contype = 'f' JOIN pg_class c ON c.oid = confrelid
  WHERE attnum = ANY (conkey) AND NOT EXISTS (SELECT FROM family WHERE oid = confrelid)
    AND {trusted("c.relowner", owner_of(raw))}
  UNION ALL SELECT format(CASE WHEN plain THEN 'unique index %s allows each link once at any moment'
      ELSE 'index %s may refuse them, and only the UPDATE shows whether it does' END, indexrelid::regclass),
    coalesce('DROP CONSTRAINT ' || quote_ident(conname), format('DROP INDEX %s', indexrelid::regclass)),
    (SELECT 'index ' || quote_ident(relname) FROM pg_class
      WHERE oid = coalesce(pg_partition_root(indexrelid), indexrelid)),
    CASE WHEN plain THEN format('(%1$s) IS NOT TRUE OR (aoc_alike = 1 OR (%2$s) <> (%2$s)) AND NOT EXISTS ('
        || 'SELECT FROM %3$s AS o WHERE o.id <> t.id AND (%4$s) = (%2$s) AND (%1$s))',
      pred, names, indrelid::regclass, {_names(unique, "indrelid", "o")}) ELSE 'false' END,
    indrelid, CASE WHEN plain THEN format('count(*) OVER (PARTITION BY tableoid, (%s), %s)', pred, names) END
  FROM link JOIN pg_index ON indrelid = attrelid AND (indisunique OR indisexclusion)
    CROSS JOIN LATERAL (SELECT indexprs IS NULL AND NOT indisexclusion, {_names(unique, "indrelid", "t")},
      coalesce(pg_get_expr(indpred, indrelid), 'true')) AS i (plain, names, pred)
    LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('u', 'p', 'x')
  WHERE attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    OR concat(indexprs::text, indpred::text) ~ format(':varattno (0|%s) ', attnum)
)
SELECT reason, CASE WHEN remedy ^@ 'DROP INDEX' THEN format('Run: %s;', remedy)
    ELSE format('Run: ALTER TABLE %s %s;', to_regclass({raw.literal}), remedy) END AS remedy, code,
  (SELECT 't.tableoid, ' || string_agg(CASE WHEN attname <> {link} THEN format('t.%I', attname)
      ELSE format('new.value::%s AS %I', format_type(atttypid, NULL), attname) END, ', ')
    FROM pg_attribute WHERE attrelid = to_regclass({raw.literal}) AND attnum > 0 AND NOT attisdropped) AS listed,
  format('tableoid <> ALL (%L::oid[]) OR coalesce((%s), true)', array_agg(rel ORDER BY rel), held) AS held,
  coalesce(alike, '1') AS alike
FROM refusing GROUP BY reason, remedy, code, held, alike ORDER BY 1"""


def link_obstacles(session: Session, contract: Contract, links: Links) -> list[Finding]:
    """Return the findings against writing ``links``; the link column may be missing.

    A CHECK or an index that runs code of others is evaluated only once somebody has accepted that code.
    """
    raw, identity = session.schema[contract.table], spread_of(session, contract.table).identity
    wanted, found_by = links(contract, session.schema, identity), ", ".join(identity)
    found = [
        finding(row["slug"], row["subject"], reason=row["reason"], remedy=row["remedy"])
        for row in session.rows(statement_obstacles(contract, raw))
    ]
    if any(obstacle.slug == "link-generated" for obstacle in found):
        return found
    refusing = session.rows(row_obstacles(contract, raw))
    code = unaccepted(session, contract, LINKING) if any(row["code"] for row in refusing) else []
    barred = {name for row in code for name in row["names"]}
    for row in (row for row in refusing if row["code"] not in barred):
        refused = (
            f"SELECT count(*) FROM (SELECT *, {row['alike']} AS aoc_alike FROM (SELECT {row['listed']} FROM {raw} "
            f"AS t JOIN ({wanted}) AS new ({found_by}, value) USING ({found_by})) AS t) AS t "
            f"WHERE NOT ({row['held']})"
        )
        rows = read(session, "checking new links", refused, whole="new links")[0]["count"]
        if rows:
            values = {"reason": row["reason"], "remedy": row["remedy"]}
            found.append(finding("link-refused", f"{raw.name}.{contract.link}", rows=rows, **values))
    return found
