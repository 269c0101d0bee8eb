"""The indexes of a table that can answer a query: valid B-trees over columns, without a condition."""

from aoc_migrate.database.session import Row, Session

VISIBLE_SHARE = 0.9  # of the pages; below that, an index-only scan reads the table too often

_INDEXES = """
SELECT i.indisunique AND i.indimmediate AS "unique",
  ARRAY(SELECT CASE WHEN a.attcollation = k.collated AND o.opcdefault THEN a.attname::text END
    FROM unnest(i.indkey::int2[], i.indcollation::oid[], i.indclass::oid[]) WITH ORDINALITY
      AS k (attnum, collated, class, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    JOIN pg_opclass o ON o.oid = k.class
    WHERE k.n <= i.indnkeyatts ORDER BY k.n) AS columns,
  (SELECT coalesce(sum(relallvisible) >= %s * nullif(sum(relpages), 0), false) FROM pg_class WHERE relkind = 'r'
    AND oid IN (SELECT relid FROM pg_partition_tree(i.indrelid) UNION SELECT i.indrelid)) AS visible
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND i.indisready AND i.indislive
  AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY x.relpages
"""


def usable_indexes(session: Session, table: str) -> list[Row]:
    """Return the usable indexes of ``table``, the smallest first.

    ``columns``: its key columns, None for one with another collation or other operators than the column's own;
    ``visible``: an index-only scan seldom reads the table.
    """
    return session.rows(_INDEXES, (VISIBLE_SHARE, str(session.schema[table])))
