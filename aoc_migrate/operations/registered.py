"""Importing this registers every operation with Alembic: ``op.add_checks(…)`` and the others of revisions."""

from aoc_migrate.operations import checks, indexes, raw_table, view_swap
from aoc_migrate.operations.supersedes import operations as supersedes

__all__ = ["checks", "indexes", "raw_table", "supersedes", "view_swap"]
