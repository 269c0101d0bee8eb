"""A digest of every row of a table, in one scan and constant memory, whatever the order of the rows.

Rows are put into 4,096 buckets by a hash of their key. A bucket has their number, and the sum of a hash of each
row's text. That text is what the types print under the session's pinned settings, so neither settings nor
compression, storage apart (TOAST) or the place of a row change it.

A bucket that changed, but has as many rows as before, looks unchanged only if two sums of 64 bits of SHA-256 agree
with those before. For changes that nobody computed for that purpose, the probability is 2^-128 at most. A sum is
no proof against a person who can choose the contents of many rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aoc_migrate.database import catalog
from aoc_migrate.database.relation import quoted
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import spread_of

BUCKETS = 4096
_KEY = """SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
  WHERE indrelid = to_regclass(%s) AND indisprimary ORDER BY attname"""
_DIGEST = f"""SELECT bucket, count(*) AS rows, sum(('x' || left(hash, 16))::bit(64)::bigint)::text AS high,
  sum(('x' || substr(hash, 17, 16))::bit(64)::bigint)::text AS low
  FROM (SELECT hashtextextended(ROW({{key}})::text COLLATE "C", 0) & {BUCKETS - 1} AS bucket,
    encode(sha256(convert_to(ROW({{listed}})::text, 'UTF8')), 'hex') AS hash FROM {{table}} {{apart}}) AS digested
  GROUP BY bucket"""


@dataclass(frozen=True)
class Digest:
    """The digest of ``columns`` of a table: for each bucket, its rows and two sums. ``key`` chooses the bucket."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    buckets: dict[str, list[str]]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(int(bucket[0]) for bucket in self.buckets.values())


def shape(session: Session, table: str) -> Digest | None:
    """Return a digest without any row: the columns and the key of a table; None if it is no table."""
    if catalog.kind(session, table) not in ("r", "p"):
        return None
    columns = tuple(sorted(catalog.columns(session, table)))
    key = [row["attname"] for row in session.rows(_KEY, (str(session.schema[table]),))]
    return Digest(columns, tuple(key) or columns, {})


def digest(session: Session, table: str, known: Digest) -> Digest:
    """Return the digest of a table by the columns and the key that are ``known``, without those that are gone.

    Fails if row-level security would hide rows.
    """
    present = catalog.columns(session, table) if catalog.kind(session, table) in ("r", "p") else {}
    columns = tuple(name for name in known.columns if name in present)
    key = tuple(name for name in known.key if name in present) or columns
    if not columns:
        return Digest((), (), {})
    # OFFSET computes each hash only once; but on a cluster, it would bring every hash to the coordinator.
    apart = "" if spread_of(session, table).column else "OFFSET 0"
    query = _DIGEST.format(key=_listed(key), listed=_listed(columns), table=session.schema[table], apart=apart)
    with session.transaction():
        session.run("SET LOCAL row_security = off")
        rows = session.rows(query)
    if table == session.target.table:
        session.full_reads["digests of all rows"] += 1
    buckets = {str(row["bucket"]): [str(row["rows"]), row["high"], row["low"]] for row in rows}
    return Digest(columns, key, buckets)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def rows_that_differ(before: Digest, after: Digest) -> dict[str, int]:
    """Return how many rows, at least, are lacking, added or changed in ``after``; nothing if all are the same."""
    none = ["0", "0", "0"]
    found = {"lacking": 0, "added": 0, "changed": 0}
    for name in before.buckets.keys() | after.buckets.keys():
        old, new = before.buckets.get(name, none), after.buckets.get(name, none)
        more = int(new[0]) - int(old[0])
        found["lacking"] += max(0, -more)
        found["added"] += max(0, more)
        found["changed"] += more == 0 and old != new
    return {change: count for change, count in found.items() if count}
