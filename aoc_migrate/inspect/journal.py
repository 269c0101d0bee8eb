"""The journal of supersedes links, from which a downgrade restores the old links."""

from collections.abc import Iterator

from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import JOURNAL
from aoc_migrate.database.own_tables import own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.operations.supersedes.link_journal import counted
from aoc_migrate.operations.supersedes.statements import CHAIN
from aoc_migrate.report.facts.chains import JournalFacts
from aoc_migrate.report.model import Finding, finding


def journal_facts(session: Session) -> JournalFacts:
    """Return how many batches and links the journal holds; None for both if this role may not read it."""
    if catalog.kind(session, JOURNAL) is None:
        return JournalFacts(0, 0)
    if not catalog.may_read(session, JOURNAL):
        return JournalFacts(None, None)
    with own_tables_locked(session, JOURNAL):
        return JournalFacts(**session.row(counted(session.schema)))


def links_not_restored(session: Session, revision: str) -> Iterator[Finding]:
    """Yield the finding on links that the backfill of ``revision`` or `chain --apply` wrote and the journal lacks.

    A role that may not read both counts gets none.
    """
    written = sum(int((catalog.state(session, name) or {"rows": 0})["rows"]) for name in (revision, CHAIN))
    journaled = journal_facts(session).links
    if journaled is not None and written > journaled:
        lacking = written - journaled
        yield finding("links-not-restored", JOURNAL, count=lacking, rows=lacking)
