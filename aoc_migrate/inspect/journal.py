"""The journal of supersedes links: how many of them a downgrade could set back."""

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import JOURNAL
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Row, Session


def held(session: Session) -> Row:
    """Return how many batches and links the journal holds; None for both where this role may not read it."""
    if catalog.kind(session, JOURNAL) is None:
        return {"batches": 0, "links": 0}
    if not catalog.may_read(session, JOURNAL):
        return {"batches": None, "links": None}
    with own_tables_locked(session, JOURNAL):
        return session.row(
            "SELECT count(*) AS batches, coalesce(sum(cardinality(ids)), 0)::bigint AS links "
            f"FROM {session.schema[JOURNAL]}"
        )
