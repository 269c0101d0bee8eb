"""Alembic's environment; what it does is `aoc_migrate.run.environment`."""

from alembic import context

from aoc_migrate.run.environment import run

run(context)
