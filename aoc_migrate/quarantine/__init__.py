"""Rows that leave the raw table, or change, and come back."""
