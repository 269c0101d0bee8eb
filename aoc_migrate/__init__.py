"""Alembic migrations that put the Aggregation-Only Contract into the StellaOps databases."""

__version__ = "0.1.0"
