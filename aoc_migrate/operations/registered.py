"""Importing this makes every operation Alembic's: ``op.add_checks(…)`` and the others that revisions call."""

from aoc_migrate.operations import checks, indexes, raw_table, view_swap
from aoc_migrate.operations.supersedes import operations as supersedes

__all__ = ["checks", "indexes", "raw_table", "supersedes", "view_swap"]
