"""Alembic's environment; what it does is `aoc_migrate.run.alembic_env`."""

from alembic import context

from aoc_migrate.run.alembic_env import run

run(context)
