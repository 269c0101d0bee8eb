"""What others do to a database meanwhile: changes that nobody minds, and changes that must be repaired."""

KEPT = {
    "a column": "ALTER TABLE {t} ADD note{n} text",
    "a column with a default": "ALTER TABLE {t} ADD size{n} int NOT NULL DEFAULT 1",
    "an index": "CREATE INDEX ON {t} (created_at)",
    "a grant": "GRANT SELECT ON {t} TO stella_reader",
    "a column grant": 'GRANT SELECT (id, tenant) ON {t} TO "stella-console"',
    "a grant taken back": "REVOKE ALL ON {t} FROM stella_reader",
    "a comment": "COMMENT ON TABLE {t} IS 'comment {n}'",
    "a comment on a column": "COMMENT ON COLUMN {t}.tenant IS 'comment {n}'",
    "a view": "CREATE VIEW seen{n} AS SELECT id, tenant FROM {t}",
    "statistics": "ANALYZE {t}",
    "extended statistics": "CREATE STATISTICS theirs{n} ON tenant, source_vendor FROM {t}",
    "a default": "ALTER TABLE {t} ALTER identifiers SET DEFAULT '{{}}'",
    "a check": "ALTER TABLE {t} ADD CONSTRAINT theirs{n} CHECK (id <> 'never')",
}
"""Changes to the raw table that stay, whatever we do: the twin gets them as well."""
PARTITION = "CREATE TABLE {t}_new{n} PARTITION OF {t} FOR VALUES IN ('new{n}')"
ADVISORY = {
    "a grant on advisory": "GRANT SELECT ON advisory TO stella_reader",
    "a grant of writes on advisory": 'GRANT UPDATE ON advisory TO "stella-console"',
    "a comment on advisory": "COMMENT ON COLUMN advisory.title IS 'comment {n}'",
}
REPAIRED = {
    "no keys constraint": "ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {t}_keys_v1",
    "no content constraint": "ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {t}_content_v1",
    "no objects function": "DROP FUNCTION IF EXISTS {t}_objects_ok_v1 CASCADE",
    "no NOT NULL": "ALTER TABLE {t} ALTER linkset DROP NOT NULL",
    "no idempotency index": "DROP INDEX IF EXISTS {t}_idempotency_v1",
    "no chain index": "DROP INDEX IF EXISTS {t}_chain_v1",
    "another comment": "COMMENT ON COLUMN {t}.upstream IS NULL",
    "a wrong link": "UPDATE {t} SET supersedes = 'gone' WHERE id = (SELECT min(id) FROM {t})",
}
"""Changes to what is ours, which the next upgrade or `chain --apply` repairs; the twin does not have them."""
