"""The good row that the probe stores and then breaks: made up, but for what nobody can make up.

A partition key must have a partition, and what a column is for that the contract does not know, only the rows that
there are can say: these values come from one of them. One that is longer than 64 bytes is never copied, and so no
document is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aoc_migrate.contract.model import Contract
from aoc_migrate.contract.rules import TIME
from aoc_migrate.database.session import Row, Session

ID = "'aoc-probe'"
HASH, OTHER_HASH = "'sha256:' || repeat('0', 64)", "'sha256:' || repeat('1', 64)"
MOST = 64  # bytes of a value that is copied, stored and as text
HEADER = 4  # bytes of a stored value's own length, at most
ROWS = 1000  # that are searched for one that is short enough


@dataclass(frozen=True)
class Good:
    """An INSERT of a good row: ``statement`` sets ``columns``, quoted. ``lacks``: no row is short in these."""

    columns: list[str]
    statement: str
    lacks: str | None = None


def good_rows(session: Session, contract: Contract, keys: set[str]) -> Iterator[Good]:
    """Yield ways to store a good row, the first with as little as possible from one that there is.

    ``keys``: the columns of partition keys. Where somebody else's constraint refuses what is made up, the second
    may be stored: it takes the keys from a row as well. A hash is longer than what is copied: where
    partitions hang on it, the third makes one up.
    """
    facts = session.rows(
        "SELECT attname::text AS name, quote_ident(attname) AS quoted, attnotnull AS required FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' "
        "AND attidentity = '' ORDER BY attnum",
        (str(session.schema[contract.table]),),
    )
    known = {column.name for column in contract.columns}
    copied = {fact["name"] for fact in facts} - known | (keys - {"id"})
    chain = copied | set(contract.chain_key)
    made = dict.fromkeys(contract.keys, ID) | {column.name: "'{}'" for column in contract.objects}
    made |= {"content_hash": HASH, TIME: "now()", contract.link: "NULL"}
    empty = not session.value(f"SELECT EXISTS (SELECT FROM {session.schema[contract.table]})")
    for wanted, values in (
        (copied, made),
        (chain, made | {"created_at": "now()"}),
        *([(copied - {"content_hash"}, made)] if "content_hash" in keys else []),
    ):
        taken = set[str]() if empty else wanted
        chosen = [fact for fact in facts if fact["name"] in taken or fact["name"] in values]
        yield _good(session, contract, chosen, values, taken, known)


def _good(
    session: Session,
    contract: Contract,
    chosen: list[Row],
    values: dict[str, str],
    taken: set[str],
    known: set[str],
) -> Good:
    """Return the INSERT that copies the columns ``taken``; those that the contract knows are not NULL."""
    raw, columns = session.schema[contract.table], [fact["quoted"] for fact in chosen]
    picked = [fact for fact in chosen if fact["name"] in taken]
    needed = [fact["quoted"] for fact in picked if fact["required"] or fact["name"] in known]
    source = _short_row(str(raw), [fact["quoted"] for fact in picked], needed)
    listed = [f"t.{fact['quoted']}" if fact in picked else values[fact["name"]] for fact in chosen]
    statement = f"INSERT INTO {raw} ({', '.join(columns)}) SELECT {', '.join(listed)}"
    if not picked:
        return Good(columns, statement)
    lacks = None if session.value(f"SELECT EXISTS ({source})") else ", ".join(needed)
    return Good(columns, f"{statement} FROM ({source}) AS t", lacks)


def _short_row(raw: str, columns: list[str], needed: list[str]) -> str:
    """Return a query of a row that is short in ``needed``, with NULL for what is long in other columns."""
    picked = ", ".join(c if c in needed else f"CASE WHEN {_short(c)} THEN {c} END AS {c}" for c in columns)
    where = " AND ".join(map(_short, needed)) or "true"
    first = f"SELECT {', '.join(columns)} FROM {raw} LIMIT {ROWS}"
    return f"SELECT {picked} FROM ({first}) AS first WHERE {where} LIMIT 1"


def _short(column: str) -> str:
    """Return the condition that a value may be copied.

    A long one is not even read: its size says enough. ``concat`` writes a value as text by its type's own
    function, where ``::text`` could mean a cast that somebody made.
    """
    size = f"pg_column_size({column})"
    return (
        f"coalesce(CASE WHEN {size} <= {MOST + HEADER} THEN octet_length(concat({column})) <= {MOST} "
        f"ELSE {size} IS NULL END, false)"
    )
