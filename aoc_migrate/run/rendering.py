"""The SQL of a revision, and its checksum for the ledger."""

import hashlib
import io

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from aoc_migrate.database.ddl.printing import SCRIPT, VARIABLE, Script
from aoc_migrate.database.ddl.table import OWNER
from aoc_migrate.run.history import Revision


def render(revision: Revision, function: str) -> str:
    """Return the SQL that ``function`` (``upgrade`` or ``downgrade``) of a revision prints for schema public."""
    printed = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={
            "as_sql": True,
            "output_buffer": printed,
            "transaction_per_migration": True,
            "literal_binds": True,
            "version_table_schema": "public",
        },
    )
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        getattr(revision.module, function)()
    return printed.getvalue()


def render_script(revision: Revision, function: str, into: Script, owner: str | None) -> str:
    """Return the same as a part of a psql script; ``owner`` is for a table that the baseline makes."""
    printed = io.StringIO()
    options = {
        "as_sql": True,
        "output_buffer": printed,
        "transactional_ddl": False,
        "version_table_schema": VARIABLE.name,
        SCRIPT: into,
        OWNER: owner,
    }
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        getattr(revision.module, function)()
    return printed.getvalue()


def checksum(revision: Revision) -> str:
    """Return the SHA-256 of what a revision does, up and down."""
    text = render(revision, "upgrade") + render(revision, "downgrade")
    return hashlib.sha256(text.encode()).hexdigest()
