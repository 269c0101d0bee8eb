"""The quarantine: rows that left the raw table, the originals of repaired rows, and how both come back."""
