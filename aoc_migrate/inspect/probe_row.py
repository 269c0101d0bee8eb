"""The good row that the probe stores and then breaks: invented as far as possible.

A partition key needs a partition, and columns that the contract does not know need values that fit them. These
values are copied from an existing row. A value longer than 64 bytes is never copied, and so no document is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import TIME
from aoc_migrate.database.session import Row, Session

ID = "'aoc-probe'"
HASH, OTHER_HASH = "'sha256:' || repeat('0', 64)", "'sha256:' || repeat('1', 64)"
LONGEST_COPY = 64  # bytes of a copied value, stored and as text
HEADER = 4  # bytes of a varlena header, at most
SEARCHED_ROWS = 1000


@dataclass(frozen=True)
class Good:
    """An INSERT of a good row: ``statement`` sets ``columns``, quoted. No row has short values in ``lacks``."""

    columns: list[str]
    statement: str
    lacks: str | None = None


def good_rows(session: Session, contract: Contract, keys: set[str]) -> Iterator[Good]:
    """Yield ways to store a good row. ``keys`` are the columns of partition keys.

    The first copies as little as possible. The second also copies the chain key, for a table whose other
    constraints refuse invented keys. The third, for a partition key with ``content_hash``, which is too long to be
    copied, invents a hash.
    """
    columns = session.rows(
        "SELECT attname::text AS name, quote_ident(attname) AS quoted, attnotnull AS required FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' "
        "AND attidentity = '' ORDER BY attnum",
        (str(session.schema[contract.table]),),
    )
    known = {column.name for column in contract.columns}
    needed = {column["name"] for column in columns} - known | (keys - {"id"})
    chain = needed | set(contract.chain_key)
    invented = dict.fromkeys(contract.keys, ID) | {column.name: "'{}'" for column in contract.objects}
    invented |= {"content_hash": HASH, TIME: "now()", contract.link: "NULL"}
    empty = not session.value(f"SELECT EXISTS (SELECT FROM {session.schema[contract.table]})")
    for names, values in (
        (needed, invented),
        (chain, invented | {"created_at": "now()"}),
        *([(needed - {"content_hash"}, invented)] if "content_hash" in keys else []),
    ):
        copied = set[str]() if empty else names
        chosen = [column for column in columns if column["name"] in copied or column["name"] in values]
        yield _good(session, contract, chosen, values, copied, known)


def _good(
    session: Session,
    contract: Contract,
    chosen: list[Row],
    values: dict[str, str],
    copied: set[str],
    known: set[str],
) -> Good:
    """Return the INSERT that copies the columns ``copied``; those that the contract knows must not be NULL."""
    raw, columns = session.schema[contract.table], [column["quoted"] for column in chosen]
    picked = [column for column in chosen if column["name"] in copied]
    needed = [column["quoted"] for column in picked if column["required"] or column["name"] in known]
    source = _short_row(str(raw), [column["quoted"] for column in picked], needed)
    listed = [f"t.{column['quoted']}" if column in picked else values[column["name"]] for column in chosen]
    statement = f"INSERT INTO {raw} ({', '.join(columns)}) SELECT {', '.join(listed)}"
    if not picked:
        return Good(columns, statement)
    lacks = None if session.value(f"SELECT EXISTS ({source})") else ", ".join(needed)
    return Good(columns, f"{statement} FROM ({source}) AS t", lacks)


def _short_row(raw: str, columns: list[str], needed: list[str]) -> str:
    """Return a query of a row with short values in ``needed``, and NULL for long values in other columns."""
    picked = ", ".join(c if c in needed else f"CASE WHEN {_short(c)} THEN {c} END AS {c}" for c in columns)
    where = " AND ".join(map(_short, needed)) or "true"
    first = f"SELECT {', '.join(columns)} FROM {raw} LIMIT {SEARCHED_ROWS}"
    return f"SELECT {picked} FROM ({first}) AS first WHERE {where} LIMIT 1"


def _short(column: str) -> str:
    """Return the condition that a value is short enough to be copied.

    A long value is not even read: its stored size decides. ``concat`` uses the type's own output function, where
    ``::text`` could run a cast that somebody made.
    """
    size = f"pg_column_size({column})"
    return (
        f"coalesce(CASE WHEN {size} <= {LONGEST_COPY + HEADER} "
        f"THEN octet_length(concat({column})) <= {LONGEST_COPY} ELSE {size} IS NULL END, false)"
    )
