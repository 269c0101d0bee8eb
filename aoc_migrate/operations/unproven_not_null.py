"""NOT NULL constraints that are NOT VALID, as PostgreSQL 18 has them: proven on the way up, and unproven down.

VALIDATE proves them under a weak lock; SET NOT NULL would read all rows under the strong one. No statement makes a
constraint unproven: on the way down it is dropped and added, with the name, the comment and the NO INHERIT that it
has by then. On a server without such constraints, nothing here finds any.
"""

from collections.abc import Iterable, Mapping, Sequence

from aoc_migrate.database.questions import unproven_not_null
from aoc_migrate.database.relation import Relation, literal, quoted
from aoc_migrate.database.session import Row, Session
from aoc_migrate.operations.step import Kind, Lock, Step

_ON_COLUMN = "pg_constraint c JOIN pg_attribute a ON attrelid = conrelid AND attnum = conkey[1] AND contype = 'n'"
_IN_PARTITIONS = f"""{_ON_COLUMN} JOIN pg_partition_tree(to_regclass({{table}})) t ON t.relid = c.conrelid
    JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace"""


def found(table: Relation, columns: Iterable[str]) -> str:
    """Return a jsonb expression of those of ``columns`` whose NOT NULL is NOT VALID; NULL if there are none."""
    return f"(SELECT jsonb_agg(attname) FROM {_ON_COLUMN} WHERE {_unproven(table, columns)})"


def found_in_partitions(table: Relation, columns: Iterable[str], which: str = "NOT c.convalidated") -> str:
    """Return a jsonb expression of (schema, name, oid, columns) of the partitions with such constraints."""
    return f"""(SELECT coalesce(jsonb_agg(jsonb_build_array(schema, name, oid, columns)), '[]') FROM (
    SELECT n.nspname AS schema, r.relname AS name, r.oid::bigint, jsonb_agg(a.attname ORDER BY a.attnum) AS columns
    FROM {_IN_PARTITIONS.format(table=table.literal)}
    WHERE t.level > 0 AND {which} AND a.attname = ANY ({_listed(columns)}) GROUP BY 1, 2, 3) AS parts)"""


def validate(table: Relation, columns: Sequence[str]) -> Step:
    """Return the Step that proves the rows for these constraints, whatever their names are."""
    sql = f"""DO $aoc$
DECLARE parts text := (SELECT string_agg(format('VALIDATE CONSTRAINT %I', conname), ', ') FROM {_ON_COLUMN}
    WHERE {_unproven(table, columns)});
BEGIN
  IF parts IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %s %s', {table.literal}, parts);
  END IF;
END $aoc$"""
    kind, lock, needed = Kind.VALIDATE_NOT_NULL, Lock.SHARE_UPDATE_EXCLUSIVE, unproven_not_null(table, columns)
    return Step(kind, table, tuple(columns), lock, (sql,), needed)


def invalidate(table: Relation, columns: Sequence[str], condition: str) -> Step:
    """Return the Step that makes NOT NULL of ``columns`` NOT VALID: where ``condition``, of ``attname``, holds.

    PostgreSQL drops no NOT NULL that the replica identity needs, so that is another one for a moment.
    """
    at = table.literal
    proven = f"{_ON_COLUMN} WHERE conrelid = to_regclass({at}) AND convalidated AND {condition}"
    sql = f"""DO $aoc$
DECLARE entry record; identity text := (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = to_regclass({at}) AND i.indisreplident);
BEGIN
  FOR entry IN SELECT conname, attname, CASE WHEN connoinherit THEN ' NO INHERIT' END AS alone,
      obj_description(c.oid, 'pg_constraint') AS words
    FROM {proven}
  LOOP
    IF identity IS NOT NULL THEN
      ALTER TABLE {table} REPLICA IDENTITY DEFAULT;
    END IF;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I NOT NULL %3$I%4$s NOT VALID',
      {at}, entry.conname, entry.attname, entry.alone);
    EXECUTE format('COMMENT ON CONSTRAINT %I ON %s IS %L', entry.conname, {at}, entry.words);
    IF identity IS NOT NULL THEN
      EXECUTE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', {at}, identity);
    END IF;
  END LOOP;
END $aoc$"""
    kind, needed = Kind.INVALIDATE_NOT_NULL, f"EXISTS (SELECT FROM {proven})"
    return Step(kind, table, tuple(columns), Lock.ACCESS_EXCLUSIVE, (sql,), needed)


def invalidate_with_partitions(
    session: Session, table: Relation, column: str, unproven: Iterable[Relation]
) -> Iterable[Step]:
    """Yield the Step that does the same in a partitioned table, if it is needed, with the names of this moment.

    A partition gets the constraint from its table. ``unproven``: partitions whose own also become NOT VALID. A
    partition that holds rows keeps the name of its constraint.
    """
    rows = session.rows(
        "SELECT t.level, t.isleaf AS leaf, c.convalidated AS proven, c.conislocal AS own, "
        "n.nspname::text AS schema, r.relname::text AS name, c.conname::text AS constraint, "
        "obj_description(c.oid, 'pg_constraint') AS words "
        f"FROM {_IN_PARTITIONS.format(table='%s')} WHERE a.attname = %s ORDER BY t.level",
        (str(table), column),
    )
    if not rows or rows[0]["level"] or not rows[0]["proven"]:
        return
    (top, *parts), own = rows, set(unproven)
    sql = [f"ALTER TABLE {table} DROP CONSTRAINT {quoted(top['constraint'])}"]
    for row in (row for row in parts if row["leaf"]):
        if row["own"] and _relation(row) in own:
            sql.append(f"ALTER TABLE {_relation(row)} DROP CONSTRAINT {quoted(row['constraint'])}")
        if (row["own"] and _relation(row) in own) or (not row["own"] and row["constraint"] != top["constraint"]):
            sql.append(_add(row, column))
    sql.append(_add(top, column))
    for row in (row for row in rows if row["words"] is not None):
        name = quoted(row["constraint"] if row["leaf"] or row["own"] else top["constraint"])
        sql.append(f"COMMENT ON CONSTRAINT {name} ON {_relation(row)} IS {literal(row['words'])}")
    yield Step(Kind.INVALIDATE_NOT_NULL, table, (column,), Lock.ACCESS_EXCLUSIVE, tuple(sql))


def validate_again(
    session: Session, table: Relation, columns: Sequence[str], unproven: Mapping[Relation, Sequence[str]]
) -> Iterable[Step]:
    """Yield the Steps for partitions whose NOT NULL became NOT VALID with the table's, but is not ``unproven``."""
    rows = session.rows(
        "SELECT n.nspname::text AS schema, r.relname::text AS name, a.attname::text AS column, "
        f"c.conname::text AS constraint FROM {_IN_PARTITIONS.format(table='%s')} WHERE t.level > 0 "
        "AND NOT c.convalidated AND a.attname = ANY (%s) ORDER BY t.level, 1, 2, 3",
        (str(table), list(columns)),
    )
    for row in rows:
        part, column = _relation(row), row["column"]
        if column not in unproven.get(part, ()):
            sql = f"ALTER TABLE {part} VALIDATE CONSTRAINT {quoted(row['constraint'])}"
            kind, lock, needed = (
                Kind.VALIDATE_NOT_NULL,
                Lock.SHARE_UPDATE_EXCLUSIVE,
                unproven_not_null(part, [column]),
            )
            yield Step(kind, part, (column,), lock, (sql,), needed)


def inherit(
    session: Session,
    table: Relation,
    columns: Sequence[str],
    alone: Mapping[Relation, Sequence[str]] | None = None,
) -> list[Step]:
    """Return the Steps that take NO INHERIT from partitions, whose tables could not be NOT NULL otherwise.

    ``alone``: those that get it back.
    """
    rows = session.rows(
        "SELECT n.nspname::text AS schema, r.relname::text AS name, a.attname::text AS column, "
        f"c.conname::text AS constraint FROM {_IN_PARTITIONS.format(table='%s')} WHERE t.level > 0 "
        "AND c.connoinherit = %s AND c.coninhcount = 0 AND a.attname = ANY (%s) ORDER BY t.level, 1, 2, 3",
        (str(table), alone is None, list(columns)),
    )
    how = "INHERIT" if alone is None else "NO INHERIT"
    return [
        Step(
            Kind.CHANGE_INHERITANCE,
            _relation(row),
            (row["constraint"],),
            Lock.ACCESS_EXCLUSIVE,
            (f"ALTER TABLE {_relation(row)} ALTER CONSTRAINT {quoted(row['constraint'])} {how}",),
        )
        for row in rows
        if alone is None or row["column"] in alone.get(_relation(row), ())
    ]


def _unproven(table: Relation, columns: Iterable[str]) -> str:
    listed = _listed(columns)
    return f"conrelid = to_regclass({table.literal}) AND NOT convalidated AND attname = ANY ({listed})"


def _listed(columns: Iterable[str]) -> str:
    return literal(f"{{{','.join(columns)}}}")


def _relation(row: Row) -> Relation:
    return Relation(row["schema"], row["name"])


def _add(row: Row, column: str) -> str:
    return f"ALTER TABLE {_relation(row)} ADD CONSTRAINT {quoted(row['constraint'])} NOT NULL {column} NOT VALID"
