"""What may happen to a table, as bits: the events at which code of others runs."""

INSERT, DELETE, UPDATE = 4, 8, 16  # tgtype (PostgreSQL source, catalog/pg_trigger.h)
LINKING = 64  # ours: an UPDATE of nothing but the link
DDL = 128  # ours: what event triggers fire at
WRITTEN = INSERT | UPDATE | LINKING  # what is computed for every new version of a row


def linked(link: str, table: str, columns: str) -> str:
    """Return the SQL condition that ``columns`` of ``table`` change with the link; all three are SQL.

    For PostgreSQL, an UPDATE of the link also changes the generated columns (source, ExecGetUpdatedCols).
    """
    return (
        f"EXISTS (SELECT FROM pg_attribute w WHERE w.attrelid = {table} AND w.attnum = ANY ({columns}) "
        f"AND (w.attname = {link} OR w.attgenerated <> ''))"
    )
