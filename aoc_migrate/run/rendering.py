"""The SQL of a revision, and its checksum for the ledger."""

import hashlib
import io

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from aoc_migrate.run.history import Revision


def render(revision: Revision, function: str) -> str:
    """Return the SQL that ``function`` (``upgrade`` or ``downgrade``) of a revision prints with ``--sql``."""
    printed = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "output_buffer": printed, "transaction_per_migration": True, "literal_binds": True},
    )
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        getattr(revision.module, function)()
    return printed.getvalue()


def checksum(revision: Revision) -> str:
    """Return the SHA-256 of what a revision does, up and down."""
    text = render(revision, "upgrade") + render(revision, "downgrade")
    return hashlib.sha256(text.encode()).hexdigest()
