"""A partitioned table in the catalog: its tree, its keys, and the index of each partition.

A partition whose DETACH … CONCURRENTLY has begun no longer belongs to it: PostgreSQL leaves it out of
``pg_partition_tree``, and ALTER TABLE does not recurse to it.
"""

import hashlib
from dataclasses import dataclass

from aoc_migrate.contract.model import Index
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of

NAME = 63  # bytes; PostgreSQL truncates longer names with only a notice


@dataclass(frozen=True)
class Node:
    """A table of the tree.

    ``leaf``: it holds rows. ``parent``: None for the root. ``index``: its index that is attached to the parent's
    (for the root, the index itself), or None; ``valid``: that index is valid.
    """

    table: Relation
    leaf: bool
    parent: Relation | None
    index: Relation | None
    valid: bool

    def own_index(self, root: Relation, index: Index, more: str = "") -> Relation:
        """Return the name of our own index of this table; it is in the table's schema."""
        if self.parent is None:
            return Relation(self.table.schema, index.name + more)
        relname, suffix = self.table.name, index.name.removeprefix(f"{root.name}_") + more
        name = f"{relname}_{suffix}"
        if len(name.encode()) > NAME:
            digest = hashlib.sha256(f"{self.table.schema}.{relname}".encode()).hexdigest()[:8]
            room = NAME - len(suffix) - len(digest) - 2
            name = f"{relname.encode()[:room].decode(errors='ignore')}_{digest}_{suffix}"
        return Relation(self.table.schema, name)


_TREE = """
WITH RECURSIVE hung AS (
  SELECT indexrelid, indrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(index)s)
  UNION ALL SELECT i.indexrelid, i.indrelid, i.indisvalid FROM hung JOIN pg_inherits h
    ON h.inhparent = hung.indexrelid JOIN pg_index i ON i.indexrelid = h.inhrelid
)
SELECT ARRAY[n.nspname, c.relname]::text[] AS table, t.isleaf AS leaf,
  CASE WHEN t.level > 0 THEN ARRAY[pn.nspname, pc.relname]::text[] END AS parent,
  CASE WHEN hung.indexrelid IS NOT NULL THEN ARRAY[xn.nspname, x.relname]::text[] END AS index,
  coalesce(hung.indisvalid, false) AS valid
FROM pg_partition_tree(to_regclass(%(table)s)) t JOIN pg_class c ON c.oid = t.relid
  JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN hung ON hung.indrelid = t.relid
  LEFT JOIN pg_class pc ON pc.oid = t.parentrelid LEFT JOIN pg_namespace pn ON pn.oid = pc.relnamespace
  LEFT JOIN pg_class x ON x.oid = hung.indexrelid LEFT JOIN pg_namespace xn ON xn.oid = x.relnamespace
ORDER BY t.level, c.relname COLLATE "C", n.nspname COLLATE "C"
"""


def tree(session: Session, table: str, index: Index) -> list[Node]:
    """Return a partitioned table and its partitions of every level, parents first."""
    values = {"table": str(session.schema[table]), "index": str(session.schema[index.name])}
    return [
        Node(
            Relation(*row["table"]),
            row["leaf"],
            Relation(*row["parent"]) if row["parent"] else None,
            Relation(*row["index"]) if row["index"] else None,
            row["valid"],
        )
        for row in session.rows(_TREE, values)
    ]


def is_attached(session: Session, node: Node) -> bool:
    """Return whether a partition still belongs to its table."""
    return bool(
        session.value(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s) "
            "AND inhparent = to_regclass(%s) AND NOT inhdetachpending)",
            (str(node.table), str(node.parent)),
        )
    )


_SIMILAR = """
WITH known AS (
  SELECT i.*, x.relam, ARRAY(SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.n) AS names
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE i.indexrelid = to_regclass(%(index)s) OR i.indrelid = to_regclass(%(table)s)
)
SELECT n.nspname::text AS schema, x.relname::text AS name,
  own.indisvalid AND own.indisready AND own.indislive AS valid
FROM known own JOIN pg_class x ON x.oid = own.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN known top ON top.indexrelid = to_regclass(%(index)s)
  AND (own.relam, own.names, own.indisunique, own.indnkeyatts, own.indnullsnotdistinct)
    = (top.relam, top.names, top.indisunique, top.indnkeyatts, top.indnullsnotdistinct)
  AND (own.indcollation::text, own.indclass::text, own.indoption::text)
    = (top.indcollation::text, top.indclass::text, top.indoption::text)
WHERE own.indrelid = to_regclass(%(table)s) AND own.indpred IS NULL AND own.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = own.indexrelid)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = own.indexrelid)
ORDER BY x.relname COLLATE "C"
"""


def similar(session: Session, table: Relation, index: Index) -> dict[Relation, bool]:
    """Return the indexes of a partition that could be attached to ``index``, and whether each is valid.

    An index that backs a constraint is left out: once attached, it would keep ``index`` from being dropped.
    """
    values = {"table": str(table), "index": str(session.schema[index.name])}
    return {Relation(row["schema"], row["name"]): row["valid"] for row in session.rows(_SIMILAR, values)}


def key_columns(session: Session, table: str) -> dict[str, list[str | None]]:
    """Return the partition key of each partitioned table of the tree; an expression in a key is None."""
    rows = session.rows(
        "SELECT c.relname::text AS name, ARRAY(SELECT a.attname::text FROM unnest(p.partattrs::int2[]) "
        "WITH ORDINALITY AS k (attnum, n) LEFT JOIN pg_attribute a ON a.attrelid = t.relid "
        "AND a.attnum = k.attnum AND k.attnum <> 0 ORDER BY k.n) AS columns "
        "FROM pg_partition_tree(to_regclass(%s)) t JOIN pg_partitioned_table p ON p.partrelid = t.relid "
        "JOIN pg_class c ON c.oid = t.relid ORDER BY t.level, 1",
        (str(session.schema[table]),),
    )
    return {row["name"]: row["columns"] for row in rows}


def index_names(session: Session, index: Index) -> set[str]:
    """Return the bare names of ``index`` and of the indexes attached to it: an error names the partition's."""
    rows = session.rows(
        "SELECT relname::text AS name FROM pg_class WHERE oid IN ("
        "SELECT relid FROM pg_partition_tree(to_regclass(%s)))",
        (str(session.schema[index.name]),),
    )
    return {index.name, *(row["name"] for row in rows)}


def is_partitioned(session: Session, table: str) -> bool:
    """Return whether ``table`` is partitioned."""
    return spread_of(session, table).partitioned


def family(table: str) -> str:
    """Return ``family (oid)`` for WITH RECURSIVE: a table, whose name is an SQL text, and all of its partitions.

    Unlike pg_partition_tree it locks none of them, so it never waits for another session's lock.
    """
    return f"""family AS (
  SELECT to_regclass({table})::oid AS oid UNION ALL SELECT inhrelid FROM pg_inherits
  JOIN family ON inhparent = family.oid WHERE NOT inhdetachpending
)"""


FAMILY = f"(WITH RECURSIVE {family('%s')} SELECT oid FROM family)"
"""The same as a subquery, which binds the table's name."""
