"""Findings, reports and how they are rendered. Pure: no database, no Alembic."""
