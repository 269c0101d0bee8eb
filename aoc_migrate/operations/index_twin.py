"""The twin of an index: the same index under another name, which takes its place when it must be dropped."""

from aoc_migrate.database.relation import Relation, literal, quoted
from aoc_migrate.database.session import Session


def definition(session: Session, index: Relation, twin: Relation) -> str:
    """Return the statement that builds ``twin`` like ``index``, an index without WHERE, CONCURRENTLY.

    It names the tablespace: PostgreSQL does not print it, and ``default_tablespace`` may be another one by now.
    """
    row = session.row(
        "SELECT pg_get_indexdef(c.oid) AS definition, quote_ident(relname) AS name, "
        "quote_ident(spcname) AS tablespace FROM pg_class c JOIN pg_database d ON datname = current_database() "
        "JOIN pg_tablespace s ON s.oid = coalesce(nullif(reltablespace, 0), dattablespace) "
        "WHERE c.oid = to_regclass(%s)",
        (str(index),),
    )
    old, new = f" INDEX {row['name']} ON ", f" INDEX CONCURRENTLY {quoted(twin.name)} ON "
    return f"{row['definition'].replace(old, new, 1)} TABLESPACE {row['tablespace']}"


def carry_over(table: Relation, index: Relation, twin: Relation) -> str:
    """Return the statement that gives ``twin`` what no definition says: replica identity, CLUSTER mark, comment.

    It reads them under its own lock. Neither statistics targets nor privileges are left to carry over: only
    indexes of expressions have the former, and none has the latter.
    """
    name = quoted(twin.name)
    body = f"""DECLARE found record;
BEGIN
  SELECT indisreplident, indisclustered, obj_description(indexrelid, 'pg_class') AS words INTO found
    FROM pg_index WHERE indexrelid = to_regclass({index.literal});
  IF found.indisreplident THEN
    ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name};
  END IF;
  IF found.indisclustered THEN
    ALTER TABLE {table} CLUSTER ON {name};
  END IF;
  EXECUTE format('COMMENT ON INDEX %s IS %L', {twin.literal}, found.words);
END"""
    return f"DO {literal(body)}"
