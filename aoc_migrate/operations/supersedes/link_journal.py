"""The journal's array of links: a triple (id, new, old) for each row that a batch has written.

In key order, the new link of a row is the id of the row before, so what repeats lies close together and compresses
(`reference/limits.md` 11.3). Placeholders such as ``size`` are the caller's.
"""

from aoc_migrate.database.bookkeeping import JOURNAL
from aoc_migrate.database.relation import Schema

LINKS = "coalesce(array_length(links, 1), 0)"
"""The number of links in one row of the journal."""


def gathered(ident: str, new: str, old: str) -> str:
    """Return the aggregate that makes ``links`` from three expressions of text."""
    return f"array_agg(ARRAY[{ident}, {new}, {old}])"


def listed(links: str) -> str:
    """Return a query of (id, new, old) over ``links``, an expression in the scope of the query."""
    following = "lead(text) OVER triple AS new, lead(text, 2) OVER triple AS old"
    return (
        f"SELECT id, new, old FROM (SELECT n, text AS id, {following} FROM unnest({links}) WITH ORDINALITY "
        "AS listed (text, n) WINDOW triple AS (ORDER BY n)) AS triples WHERE mod(n, 3) = 1"
    )


def counted(schema: Schema) -> str:
    """Return the query of the number of ``links`` in the journal, and of its ``batches``."""
    return f"SELECT count(*) AS batches, coalesce(sum({LINKS}), 0)::bigint AS links FROM {schema[JOURNAL]}"
