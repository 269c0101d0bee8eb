"""The SQL and the Steps of a revision, and its checksum for the ledger."""

import hashlib
import io
from collections.abc import Callable
from functools import cache

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from aoc_migrate.database.relation import Schema
from aoc_migrate.operations import registered as _registered  # noqa: F401 - the operations that revisions call
from aoc_migrate.operations.collect import Collector
from aoc_migrate.operations.registry import EXECUTOR
from aoc_migrate.operations.render import Printer, tidy
from aoc_migrate.operations.step import Executor, Step
from aoc_migrate.revisions.graph import Revision


def render(revision: Revision, function: str) -> str:
    """Return the SQL that ``function`` (``upgrade`` or ``downgrade``) of a revision prints for schema public."""
    printed = io.StringIO()
    context = _offline(printed, "public", Printer)
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        getattr(revision.module, function)()
    return tidy(printed.getvalue())


def collect(revision: Revision, function: str, schema: Schema, owner: str | None) -> list[tuple[Step, ...]]:
    """Return the Steps of ``function``, grouped by transaction; ``owner`` gets a table that the baseline creates.

    An operation of Alembic's own is a Step with the SQL that Alembic prints.
    """
    printed = io.StringIO()
    collector = Collector(schema, printed, owner)
    context = _offline(printed, schema.name, lambda _: collector)
    with Operations.context(context):
        getattr(revision.module, function)()
    collector.run()
    return collector.groups


@cache
def checksum(revision: Revision) -> str:
    """Return the SHA-256 of a revision's SQL, up and down."""
    text = render(revision, "upgrade") + render(revision, "downgrade")
    return hashlib.sha256(text.encode()).hexdigest()


def _offline(
    printed: io.StringIO, schema: str, executor: Callable[[MigrationContext], Executor]
) -> MigrationContext:
    options = {
        "as_sql": True,
        "output_buffer": printed,
        "transaction_per_migration": True,
        "literal_binds": True,
        "version_table_schema": schema,
        EXECUTOR: executor,
    }
    return MigrationContext.configure(dialect_name="postgresql", opts=options)
