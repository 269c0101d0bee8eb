"""The bytes that the indexes of a contract will need, from the width of the keys in a sample."""

import math
from collections.abc import Iterable, Mapping

from aoc_migrate.contract.model import Contract, Index
from aoc_migrate.database import catalog
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import is_partitioned, tree
from aoc_migrate.inspect.table_size import TableSize

_FILL = 0.9  # of a leaf, as CREATE INDEX leaves it (PostgreSQL 15 manual, CREATE INDEX)


def entries(indexes: Iterable[Index], sample: str) -> str:
    """Return a query of the ``rows`` of a sample, and mean bytes: ``id_bytes``, and by name an index's entry.

    An entry has 8 bytes of header, the columns, aligned to 8 bytes, and 4 bytes of pointer (PostgreSQL 15 manual,
    67.4 and 73.6).
    """
    parts = ["count(*) AS rows", "avg(pg_column_size(id))::float8 AS id_bytes"]
    for index in indexes:
        widths = " + ".join(f"coalesce(pg_column_size({column.split()[0]}), 0)" for column in index.columns)
        parts.append(f"avg(8 * ceil((8 + {widths}) / 8.0) + 4) AS {index.name}")
    return f"SELECT {', '.join(parts)} FROM {sample}"


def index_room(
    session: Session, contract: Contract, size: TableSize, rows: int, entry_bytes: Mapping[str, float]
) -> int:
    """Return the bytes that the indexes of the contract will need where they are missing or invalid.

    They do not shrink by deduplication, because no key occurs twice in them. Keys above 500 bytes may need less,
    because PostgreSQL compresses them.
    """
    total = 0
    for index in (contract.idempotency_index(), contract.chain_index()):
        if catalog.index_state(session, contract.table, index) != "valid":
            share, parts = _lacking(session, contract, index, size)
            leaves = math.ceil(rows * share * entry_bytes[index.name] / _FILL / size.page_bytes)
            total += (leaves + parts) * size.page_bytes  # each part has a page about itself
    return total


def _lacking(session: Session, contract: Contract, index: Index, size: TableSize) -> tuple[float, int]:
    """Return the share of the table whose partitions lack a valid index, and the number of these partitions."""
    if not is_partitioned(session, contract.table):
        return 1.0, max(size.tables, 1)
    lacking = [str(node.table) for node in tree(session, contract.table, index) if node.leaf and not node.valid]
    if session.on_cluster:
        from aoc_migrate.database.spread.shards import main_bytes

        bytes_, number = main_bytes(session, lacking)
        return bytes_ / max(size.main_bytes, 1), number or len(lacking)
    sizes = (
        "SELECT coalesce(sum(pg_relation_size(to_regclass(name))), 0) FROM unnest(%s::text[]) AS lacking (name)"
    )
    return float(session.value(sizes, (lacking,))) / max(size.main_bytes, 1), len(lacking)
