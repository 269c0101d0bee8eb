"""Audit of a spread raw table: can the idempotency key and the id be unique over all partitions and shards?"""

from collections.abc import Iterator, Sequence

from aoc_migrate.contract.model import Contract, Index, key_hash
from aoc_migrate.database import catalog
from aoc_migrate.database.majors import partitions_keep_not_null
from aoc_migrate.database.own_tables import foreign
from aoc_migrate.database.relation import Relation
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY, key_columns, tree
from aoc_migrate.database.spread.shape import Spread, spread_of
from aoc_migrate.database.table_scan import read
from aoc_migrate.inspect.chain_scope import recent
from aoc_migrate.inspect.duplicates import candidates
from aoc_migrate.report.model import Finding, finding


def audit_partitions(session: Session, contract: Contract, spread: Spread) -> Iterator[Finding]:
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
        yield finding("foreign-partition", contract.table, raw=str(session.raw), partition=row["name"])
    if not partitions_keep_not_null(session.connection):
        yield from _own_keys(session, contract)
    within = [column or "" for columns in keys.values() for column in columns]
    if keys and not outside:
        yield from audit_id(session, contract.table, spread, within)


def _own_keys(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield primary keys of partitions on columns that the table allows to be NULL.

    DROP NOT NULL of the table goes to all partitions, and stops at such a key: no rollback would get past it.
    """
    rows = session.rows(
        "SELECT i.indrelid::regclass::text AS partition, "
        "array_agg(quote_ident(a.attname) ORDER BY a.attnum) AS columns "
        f"FROM {FAMILY} AS family JOIN pg_index i ON i.indrelid = family.oid AND i.indisprimary "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
        "JOIN pg_attribute r ON r.attrelid = to_regclass(%s) AND r.attname = a.attname AND NOT r.attnotnull "
        "WHERE a.attname = ANY (%s) GROUP BY i.indrelid ORDER BY 1",
        (*[str(session.schema[contract.table])] * 2, list(contract.required)),
    )
    for row in rows:
        change = ", ".join(f"ALTER {column} SET NOT NULL" for column in row["columns"])
        remedy = f"ALTER TABLE {session.schema[contract.table]} {change};"
        columns = ", ".join(row["columns"])
        yield finding(
            "partition-own-key", contract.table, partition=row["partition"], columns=columns, remedy=remedy
        )


_ID_INDEX = """
SELECT EXISTS (SELECT FROM pg_index i CROSS JOIN LATERAL (
  SELECT array_agg(a.attname::text ORDER BY k.n) AS columns, bool_or(a.attname = 'id' AND a.attnotnull
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = a.attrelid AND contype = 'n' AND NOT convalidated
      AND a.attnum = ANY (conkey))) AS id
  FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts) AS has
WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND has.id AND has.columns <@ %s AND has.columns[:array_position(has.columns, 'id')] <@ %s)
"""


def audit_id(session: Session, table: str, spread: Spread, within: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield a finding unless a unique index makes an id unique, as far as one can over partitions and shards.

    It is on the columns by which a row is found, and on those of partition keys (``within``). Only the former may
    precede ``id``, so that it can find a row.
    """
    identity = list(spread.identity)
    columns = list(dict.fromkeys([*identity, *within]))
    if not session.value(_ID_INDEX, (str(session.schema[table]), columns, identity)):
        slug = "partition-id-index" if spread.partitioned else "primary-key-missing"
        yield finding(slug, table, raw=str(session.schema[table]), columns=", ".join(columns))


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


# Grouped on each shard first. For the subquery of `candidates`, the coordinator would keep the digest of every row
# as an intermediate result, whose size Citus limits.
_DIGESTS = "candidates AS MATERIALIZED (SELECT {digest} AS digest FROM {raw} GROUP BY 1 HAVING count(*) > 1)"


def ambiguous_ids(
    session: Session, contract: Contract, limit: int, since: float | None = None
) -> Iterator[Finding]:
    """Yield ``ambiguous-id`` if rows of a spread table share an id, which no index of it can forbid.

    ``since``: check only the ids of rows stored in the last ``since`` seconds.
    """
    table = contract.table
    spread = spread_of(session, table)
    if not spread.partitioned and not spread.column:
        return
    raw, digest, values = session.schema[table], key_hash(["id"]), list[float]()
    condition = f"{digest} IN (SELECT digest FROM candidates)"
    shared = _DIGESTS.format(digest=digest, raw=raw) if spread.column else candidates(digest, str(raw))
    ids = f"WITH {shared} SELECT id FROM {raw} WHERE {condition}"
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
        whole="shared ids" if since is None else None,
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
