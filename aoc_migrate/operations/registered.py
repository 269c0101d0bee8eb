"""Importing this module registers every operation with Alembic, such as ``op.add_checks(…)``."""

from aoc_migrate.operations import checks, indexes, raw_table, view_swap
from aoc_migrate.operations.supersedes import operations as supersedes

__all__ = ["checks", "indexes", "raw_table", "supersedes", "view_swap"]
