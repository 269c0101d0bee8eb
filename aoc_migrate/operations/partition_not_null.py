"""NOT NULL of a partition whose partitioned table had none.

Before PostgreSQL 18, DROP NOT NULL on the table drops it on every partition, whoever set it. A downgrade sets it
again, and a CHECK proven under a weak lock avoids the scan under the strong one. From 18 on, a partition keeps a
constraint of its own.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aoc_migrate.database import catalog
from aoc_migrate.database.majors import partitions_keep_not_null
from aoc_migrate.database.questions import constraint_exists, constraint_is_unproven
from aoc_migrate.database.relation import Relation, literal, quoted
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.left_behind import PROOF, proofs
from aoc_migrate.operations.own_parts import found_again
from aoc_migrate.operations.step import Kind, Lock, OnPartitions, Step
from aoc_migrate.operations.unproven_not_null import inherit, invalidate_with_partitions, validate_again

_IDENTITIES = (
    "SELECT n.nspname::text AS schema, c.relname::text AS name, quote_ident(x.relname) AS index "
    "FROM pg_partition_tree(to_regclass(%s)) t JOIN pg_index i ON i.indrelid = t.relid AND i.indisreplident "
    "JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = t.relid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2"
)

_INHERITED = (
    "SELECT a.attname::text AS column FROM pg_constraint JOIN pg_attribute a ON attrelid = conrelid "
    "AND attnum = conkey[1] WHERE conrelid = to_regclass(%s) AND contype = 'n' AND NOT conislocal "
    "AND a.attname = ANY (%s) ORDER BY attnum"
)


def own(table: Relation, columns: Iterable[str]) -> str:
    """Return an expression for (schema, name, oid, columns): partitions with NOT NULL that their parents lack."""
    listed = ", ".join(literal(column) for column in columns)
    return (
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(schema, name, oid, columns)), '[]') FROM ("
        "SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint, "
        "jsonb_agg(a.attname ORDER BY a.attnum) AS columns "
        f"FROM pg_partition_tree(to_regclass({table.literal})) t JOIN pg_class c ON c.oid = t.relid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnotnull AND a.attname IN ({listed}) "
        "JOIN pg_attribute r ON r.attrelid = t.parentrelid AND r.attname = a.attname "
        "AND NOT r.attnotnull GROUP BY 1, 2, 3) AS own)"
    )


def drop(run: OnPartitions, table: Relation, columns: tuple[str, ...], revision: str) -> None:
    """Drop NOT NULL of a partitioned table, except what ``revision`` found there, one column at a time."""
    found = catalog.state(run.session, revision)
    if found is None:
        return
    session, unproven = run.session, [c for c in columns if c in found.get("not_valid", [])]
    kept = _still_parts(session, table, columns, found, "own_not_null")
    if partitions_keep_not_null(session.connection):
        for step in _made_own(session, kept):
            run.run(step)
        kept = {}
    for partition, names in kept.items():
        run.run(_add(partition, names))
        run.run(_validate(partition))
    nullable = catalog.nullable(session, table.name, columns)
    identities = {part: _identities(session, part) for part in kept}
    for column in columns:
        if column not in nullable and column not in [*found["not_null"], *unproven]:
            statements = [f"ALTER TABLE {table} ALTER {column} DROP NOT NULL"]
            for part in (part for part in kept if column in kept[part]):
                statements.append(f"ALTER TABLE {part} ALTER {column} SET NOT NULL")
                for leaf, index in identities[part].items():
                    statements.insert(0, f"ALTER TABLE {leaf} REPLICA IDENTITY DEFAULT")
                    statements.append(f"ALTER TABLE {leaf} REPLICA IDENTITY USING INDEX {index}")
            run.run(Step(Kind.DROP_NOT_NULL, table, (column,), Lock.ACCESS_EXCLUSIVE, tuple(statements)))
    drop_proofs(run, table)
    alone = _still_parts(session, table, columns, found, "own_no_inherit")
    for step in inherit(session, table, columns, alone) if alone else ():
        run.run(step)
    if unproven:
        _invalidate(run, table, unproven, _still_parts(session, table, columns, found, "own_not_valid"))


def drop_proofs(run: OnPartitions, table: Relation) -> None:
    """Drop the CHECKs that prove NOT NULL of partitions, also those that an interrupted downgrade has left."""
    for partition, name in proofs(run.session, table):
        sql = (f"ALTER TABLE {partition} DROP CONSTRAINT IF EXISTS {quoted(name)}",)
        run.run(Step(Kind.DROP_CHECK, partition, (name,), Lock.ACCESS_EXCLUSIVE, sql))


def _invalidate(run: OnPartitions, table: Relation, columns: list[str], parts: dict[Relation, list[str]]) -> None:
    """Make NOT NULL of ``columns`` NOT VALID, and in the partitions of ``parts``; prove it again in the others."""
    for column in columns:
        own = [part for part in parts if column in parts[part]]
        for step in invalidate_with_partitions(run.session, table, column, own):
            run.run(step)
    for step in validate_again(run.session, table, columns, parts):
        run.run(step)


def _still_parts(
    session: Session, table: Relation, columns: tuple[str, ...], found: Mapping[str, Any], key: str
) -> dict[Relation, list[str]]:
    """Return the partitions recorded under ``key`` with their columns; a detached partition keeps its own."""
    parts = found_again(session, table, found, key)
    kept = {partition: [c for c in columns if c in named] for partition, named in parts.items()}
    return {partition: named for partition, named in kept.items() if named}


def _made_own(session: Session, parts: Mapping[Relation, Sequence[str]]) -> Iterable[Step]:
    """Yield the Steps that make NOT NULL of partitions their own again, which reads no row.

    ATTACH PARTITION, also that of a restored dump, leaves it as inherited: it would go with the table's.
    """
    for part, columns in parts.items():
        rows = session.rows(_INHERITED, (str(part), list(columns)))
        for column in [row["column"] for row in rows]:
            sql = (f"ALTER TABLE {part} ALTER {column} SET NOT NULL",)
            yield Step(Kind.SET_NOT_NULL, part, (column,), Lock.ACCESS_EXCLUSIVE, sql)


def _identities(session: Session, part: Relation) -> dict[Relation, str]:
    """Return the tables of a partition that have an index as replica identity, and its quoted name.

    PostgreSQL drops no NOT NULL that a replica identity needs.
    """
    rows = session.rows(_IDENTITIES, (str(part),))
    return {Relation(row["schema"], row["name"]): row["index"] for row in rows}


def _proof(table: Relation) -> str:
    """Return the name of the CHECK; a partition of a partition inherits that of its parent and has its own."""
    return f"{PROOF}{hashlib.sha256(str(table).encode()).hexdigest()[:8]}"


def _add(partition: Relation, columns: list[str]) -> Step:
    name, predicate = _proof(partition), " AND ".join(f"{column} IS NOT NULL" for column in columns)
    sql = (f"ALTER TABLE {partition} ADD CONSTRAINT {name} CHECK ({predicate}) NOT VALID",)
    needed = f"NOT {constraint_exists(partition, name)}"
    return Step(Kind.ADD_CHECK, partition, (name,), Lock.ACCESS_EXCLUSIVE, sql, needed)


def _validate(partition: Relation) -> Step:
    name = _proof(partition)
    sql = (f"ALTER TABLE {partition} VALIDATE CONSTRAINT {name}",)
    needed = constraint_is_unproven(partition, name)
    return Step(Kind.VALIDATE, partition, (name,), Lock.SHARE_UPDATE_EXCLUSIVE, sql, needed)
