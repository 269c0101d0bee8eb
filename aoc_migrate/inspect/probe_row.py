"""The good row that the probe stores and then breaks: invented as far as possible.

A partition key needs a partition, and columns that the contract does not know need values that fit them. These
values are copied from an existing row. A value longer than 64 bytes is never copied, and so no document is.

Citus names the broken rule only for an INSERT of VALUES: there the values to copy are read first, as literals.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    """An INSERT of a good row into ``raw``: ``statement`` sets ``row``, columns, quoted, and the value of each.

    The values are expressions over the stored row ``t`` or, with ``literal``, over nothing. No row has short
    values in ``lacks``.
    """

    raw: str
    row: Mapping[str, str]
    statement: str
    literal: bool
    lacks: str | None = None

    def but(self, values: Mapping[str, str]) -> str:
        """Return the INSERT of a copy of the stored row with other values, expressions like those of ``row``."""
        picked = [values.get(column, value) for column, value in self.row.items()]
        if self.literal:
            return _insert_values(self.raw, self.row, picked)
        source = f"{self.raw} AS t WHERE id = {ID} LIMIT 1"
        return f"INSERT INTO {self.raw} ({', '.join(self.row)}) SELECT {', '.join(picked)} FROM {source}"


def _insert_values(raw: str, columns: Iterable[str], values: Iterable[str]) -> str:
    return f"INSERT INTO {raw} ({', '.join(columns)}) VALUES ({', '.join(values)})"


def good_rows(session: Session, contract: Contract, keys: set[str], *, literal: bool) -> Iterator[Good]:
    """Yield ways to store a good row. ``keys`` are the columns of partition keys; ``literal``: it inserts VALUES.

    The first copies as little as possible. The second also copies the chain key, for a table whose other
    constraints refuse invented keys. The third, for a partition key with ``content_hash``, which is too long to be
    copied, invents a hash.
    """
    columns = session.rows(
        "SELECT attname::text AS name, quote_ident(attname) AS quoted, attnotnull AS required, "
        "format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' AND attidentity = '' ORDER BY attnum",
        (str(session.schema[contract.table]),),
    )
    known = {column.name for column in contract.columns}
    needed = {column["name"] for column in columns} - known | (keys - {"id"})
    chain = needed | set(contract.chain_key)
    invented = dict.fromkeys(contract.keys, ID) | {column.name: "'{}'" for column in contract.objects}
    invented |= {"content_hash": HASH, TIME: "now()", contract.link: "NULL"}
    empty = not session.value(f"SELECT EXISTS (SELECT 1 FROM {session.schema[contract.table]})")
    for names, values in (
        (needed, invented),
        (chain, invented | {"created_at": "now()"}),
        *([(needed - {"content_hash"}, invented)] if "content_hash" in keys else []),
    ):
        copied = set[str]() if empty else names
        chosen = [column for column in columns if column["name"] in copied or column["name"] in values]
        good = _good_values if literal else _good
        yield good(session, str(session.schema[contract.table]), chosen, values, copied, known)


def _good(
    session: Session, raw: str, chosen: list[Row], values: dict[str, str], copied: set[str], known: set[str]
) -> Good:
    """Return the INSERT that copies the columns ``copied``; those that the contract knows must not be NULL."""
    columns, picked, needed = _columns(chosen, copied, known)
    source = _short_row(raw, picked, needed)
    listed = [f"t.{c['quoted']}" if c["quoted"] in picked else values[c["name"]] for c in chosen]
    statement, row = (
        f"INSERT INTO {raw} ({', '.join(columns)}) SELECT {', '.join(listed)}",
        {c: f"t.{c}" for c in columns},
    )
    if not picked:
        return Good(raw, row, statement, literal=False)
    lacks = None if session.value(f"SELECT EXISTS ({source})") else ", ".join(needed)
    return Good(raw, row, f"{statement} FROM ({source}) AS t", literal=False, lacks=lacks)


def _good_values(
    session: Session, raw: str, chosen: list[Row], values: dict[str, str], copied: set[str], known: set[str]
) -> Good:
    """Return the same as an INSERT of VALUES. PostgreSQL itself writes what is copied as literals."""
    columns, picked, needed = _columns(chosen, copied, known)
    found: Row | None = {}
    if picked:
        found = next(iter(session.rows(_short_literals(raw, picked, needed))), None)
    read = dict(zip(picked, (found or {}).values(), strict=False))
    row = {c["quoted"]: f"({read.get(c['quoted']) or values.get(c['name'], 'NULL')})::{c['type']}" for c in chosen}
    lacks = None if found is not None else ", ".join(needed)
    return Good(raw, row, _insert_values(raw, columns, row.values()), literal=True, lacks=lacks)


def _columns(chosen: list[Row], copied: set[str], known: set[str]) -> tuple[list[str], list[str], list[str]]:
    """Return, quoted, the columns of the row, those that are copied, and those of these that must be short."""
    picked = [column for column in chosen if column["name"] in copied]
    needed = [column["quoted"] for column in picked if column["required"] or column["name"] in known]
    return [column["quoted"] for column in chosen], [column["quoted"] for column in picked], needed


def _short_row(raw: str, columns: list[str], needed: list[str]) -> str:
    """Return a query of a row with short values in ``needed``, and NULL for long values in other columns."""
    picked = ", ".join(c if c in needed else f"CASE WHEN {_short(c)} THEN {c} END AS {c}" for c in columns)
    where = " AND ".join(map(_short, needed)) or "true"
    first = f"SELECT {', '.join(columns)} FROM {raw} LIMIT {SEARCHED_ROWS}"
    return f"SELECT {picked} FROM ({first}) AS first WHERE {where} LIMIT 1"


def _short_literals(raw: str, columns: list[str], needed: list[str]) -> str:
    """Return a query of the literals of such a row, from which no long value leaves its shard."""
    picked = ", ".join(
        f"CASE WHEN {c} IS NOT NULL AND {_short(c)} THEN quote_literal(concat({c})) ELSE 'NULL' END AS c{n}"
        for n, c in enumerate(columns)
    )
    fits = " AND ".join(map(_short, needed)) or "true"
    first = f"SELECT {picked}, {fits} AS fits FROM {raw} LIMIT {SEARCHED_ROWS}"
    return f"SELECT {', '.join(f'c{n}' for n in range(len(columns)))} FROM ({first}) AS first WHERE fits LIMIT 1"


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
