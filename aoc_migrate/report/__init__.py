"""Findings, reports and how they are drawn. Pure: no database, no Alembic."""
