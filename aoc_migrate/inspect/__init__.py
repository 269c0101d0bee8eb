"""Audit (reads rows, before) and verify (reads catalog and chains, after). Read-only, without Alembic."""
