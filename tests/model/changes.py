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
    "a policy": "CREATE POLICY theirs{n} ON {t} AS RESTRICTIVE USING (tenant <> 'never')",
    "row security": "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
    "a check": "ALTER TABLE {t} ADD CONSTRAINT theirs{n} CHECK (id <> 'never')",
}
"""Changes to the raw table that stay, whatever we do: the twin gets them as well."""
OBSTACLES = {
    f"a key with ON DELETE {action}": (
        "CREATE TABLE theirs_{n} AS SELECT {key} FROM {t}; "
        f"ALTER TABLE theirs_{{n}} ADD FOREIGN KEY ({{key}}) REFERENCES {{t}} ON DELETE {action}",
        "DROP TABLE theirs_{n}",
    )
    for action in ("CASCADE", "SET NULL", "NO ACTION")
} | {
    "a trigger that loses changes": (
        "CREATE FUNCTION lose_{n}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER lose_{n} BEFORE UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION lose_{n}()",
        "DROP FUNCTION lose_{n} CASCADE",
    ),
}
"""Things that may stop our commands, and how others take them away; the twin has them as well.

``{key}``: the columns of the raw table's primary key. A table named theirs_… keeps its rows.
"""
BASED_ON_OURS = {
    "a key on the idempotency index": (
        "CREATE TABLE theirs_{n} AS SELECT tenant, source_vendor, upstream_id, content_hash FROM {t}; "
        "ALTER TABLE theirs_{n} ADD FOREIGN KEY (tenant, source_vendor, upstream_id, content_hash) "
        "REFERENCES {t} (tenant, source_vendor, upstream_id, content_hash)",
        "DROP TABLE theirs_{n}",
    ),
    "the replica identity": (
        "ALTER TABLE {t} REPLICA IDENTITY USING INDEX {t}_idempotency_v1",
        "ALTER TABLE {t} REPLICA IDENTITY DEFAULT",
    ),
}
"""The same, on what is ours: the twin cannot have them."""
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
