"""Audit of a partitioned raw table: can the idempotency key and the id be unique across all partitions?"""

from collections.abc import Iterator

from aoc_migrate.contract.model import Contract, Index, key_hash
from aoc_migrate.database import catalog
from aoc_migrate.database.own_tables import foreign
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY, key_columns, tree
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.chain_scope import recent
from aoc_migrate.inspect.duplicates import candidates
from aoc_migrate.report.model import Finding, finding


def audit_partitions(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield what the partitioning of the raw table makes impossible."""
    keys = key_columns(session, contract.table)
    outside = [item for item in keys.items() if not set(item[1]) <= set(contract.idempotency_key)]
    for name, columns in outside:
        key = ", ".join(column or "an expression" for column in columns)
        idempotency_key = ", ".join(contract.idempotency_key)
        yield finding("partition-key", contract.table, partitioned=name, key=key, columns=idempotency_key)
    for row in session.rows(
        f"SELECT c.oid::regclass::text AS name FROM {FAMILY} AS family JOIN pg_class c USING (oid) "
        "WHERE c.relkind = 'f' ORDER BY 1",
        (str(session.schema[contract.table]),),
    ):
        yield finding("foreign-partition", contract.table, partition=row["name"])
    within = list(dict.fromkeys(column or "" for columns in keys.values() for column in columns))
    if keys and not outside and not _id_index(session, contract.table, within):
        yield finding("partition-id-index", contract.table, columns=", ".join(["id", *within]))


def _id_index(session: Session, table: str, within: list[str]) -> bool:
    """Return whether there is a unique index over id and, at most, the columns of the partition keys."""
    return bool(
        session.value(
            "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass(%s) AND i.indisunique "
            "AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND 'id' = (SELECT attname "
            "FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0] AND attnotnull) "
            "AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n) "
            "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts "
            "AND a.attname <> ALL (%s)))",
            (str(session.schema[table]), ["id", *within]),
        )
    )


def foreign_indexes(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield objects that have the name of a future index of a partition but are not that index."""
    for index in (contract.idempotency_index(), contract.chain_index()):
        for node in tree(session, contract.table, index):
            name = node.own_index(session.schema[contract.table], index)
            if node.index is None and node.parent is not None and _taken(session, node.table, name, index):
                yield foreign(name.name)


def _taken(session: Session, table: Relation, name: Relation, index: Index) -> bool:
    taken = session.value("SELECT to_regclass(%s) IS NOT NULL", (str(name),))
    return bool(taken) and catalog.defined(session, table, name, index) == "foreign"


def ambiguous_ids(
    session: Session, contract: Contract, limit: int, since: float | None = None
) -> Iterator[Finding]:
    """Yield ``ambiguous-id`` if rows of a partitioned table share an id, which no index of it can forbid.

    ``since``: check only the ids of rows stored in the last ``since`` seconds.
    """
    table = contract.table
    if not key_columns(session, table):
        return
    raw, digest, values = session.schema[table], key_hash(["id"]), list[float]()
    condition = f"{digest} IN (SELECT digest FROM candidates)"
    ids = f"WITH {candidates(digest, str(raw))} SELECT id FROM {raw} WHERE {condition}"
    if since is not None:
        rows, values = recent(session, contract, since)
        ids = f"SELECT id FROM {raw} WHERE id IN (SELECT id FROM {raw} WHERE {rows})"
    shared = f"SELECT id, count(*) AS rows FROM ({ids}) AS among GROUP BY id HAVING count(*) > 1"
    found = read(
        session,
        "looking for shared ids",
        "SELECT *, count(*) OVER () AS ids, sum(rows) OVER ()::bigint AS total "
        f'FROM ({shared}) AS shared ORDER BY id COLLATE "C" LIMIT %s',
        [*values, limit],
    )
    if found:
        yield finding(
            "ambiguous-id",
            table,
            count=found[0]["ids"],
            rows=found[0]["total"],
            statement=session.pasteable(shared, values or None),
            sample=[{"id": row["id"], "rows": row["rows"]} for row in found],
        )
