"""The bookkeeping tables in the target's schema: their columns, and who may read them.

They decide what an upgrade and a downgrade do, so each is private from its creation, whatever default privileges
say.
"""

from dataclasses import dataclass

from aoc_migrate.database.relation import Relation, Schema

VERSION = "aoc_alembic_version"
VERSION_KEY = f"{VERSION}_pkc"  # as Alembic names it
HOLD = "aoc_migration_hold"
STATE = "aoc_migration_state"
LOG = "aoc_migration_log"
JOURNAL = "aoc_supersedes_journal"
WORK = "aoc_work_list"
REHEARSAL = "aoc_rehearsal"

_NOW = "NOT NULL DEFAULT now()"


@dataclass(frozen=True)
class BookkeepingTable:
    """A bookkeeping table. ``columns`` are (name, type as `format_type` prints it, rest of the definition)."""

    name: str
    columns: tuple[tuple[str, str, str], ...]
    key: str = ""

    def definition(self) -> str:
        """Return the text between the parentheses of CREATE TABLE."""
        lines = [" ".join(filter(None, column)) for column in self.columns] + ([self.key] if self.key else [])
        return ",\n      ".join(lines)


BOOKKEEPING = {
    table.name: table
    for table in (
        BookkeepingTable(
            VERSION,
            (("version_num", "character varying(32)", "NOT NULL"),),
            f"CONSTRAINT {VERSION_KEY} PRIMARY KEY (version_num)",
        ),
        BookkeepingTable(
            HOLD,
            (
                ("one", "boolean", "PRIMARY KEY DEFAULT true CHECK (one)"),
                ("command", "text", "NOT NULL"),
                ("revision", "text", ""),
                ("held_by", "text", "NOT NULL"),
                ("held_at", "timestamp with time zone", _NOW),
                ("finished", "boolean", "NOT NULL"),
                ("acknowledged", "boolean", "NOT NULL"),
            ),
        ),
        BookkeepingTable(
            STATE,
            (
                ("name", "text", "PRIMARY KEY"),
                ("value", "jsonb", "NOT NULL"),
                ("recorded_at", "timestamp with time zone", _NOW),
            ),
        ),
        BookkeepingTable(
            LOG,
            (
                ("run", "bigint", "GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
                ("command", "text", "NOT NULL"),
                ("from_revision", "text", "NOT NULL"),
                ("goal", "text", ""),
                ("revision", "text", ""),
                ("role", "text", "NOT NULL DEFAULT current_user"),
                ("host", "text", "NOT NULL"),
                ("image", "text", ""),
                ("ticket", "text", ""),
                ("plan", "text", ""),
                ("version", "text", "NOT NULL"),
                ("server_version", "text", "NOT NULL DEFAULT current_setting('server_version')"),
                ("pid", "integer", "NOT NULL DEFAULT pg_backend_pid()"),
                ("started_at", "timestamp with time zone", _NOW),
                ("seen_at", "timestamp with time zone", _NOW),
                ("ended_at", "timestamp with time zone", ""),
                ("outcome", "text", ""),
                ("step", "text", ""),
                ("findings", "text[]", "NOT NULL DEFAULT '{}'"),
                ("progress", "jsonb", ""),
                ("steps", "jsonb", "NOT NULL DEFAULT '[]'"),
                ("checksums", "jsonb", "NOT NULL DEFAULT '{}'"),
                ("controls", "jsonb", "NOT NULL DEFAULT '[]'"),
            ),
        ),
        BookkeepingTable(
            JOURNAL,
            (
                ("batch", "bigint", "GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
                ("links", "text[]", "NOT NULL"),  # triples of id, new link and old link
                ("tenant", "text", ""),  # on a cluster only, where it leads to the shard
                ("written_at", "timestamp with time zone", _NOW),
            ),
        ),
    )
}
DEFINED = BOOKKEEPING | {
    REHEARSAL: BookkeepingTable(
        REHEARSAL,
        (
            ("one", "boolean", "PRIMARY KEY DEFAULT true CHECK (one)"),
            ("revision", "text", ""),
            ("phase", "text", "NOT NULL"),
            ("before", "jsonb", "NOT NULL"),
            ("phases", "jsonb", "NOT NULL"),
            ("kept", "text[]", "NOT NULL DEFAULT '{}'"),
            ("started_at", "timestamp with time zone", _NOW),
        ),
    )
}
"""With the table that only the copy of a rehearsal has, while that runs."""
READ_BY_ALL = (VERSION, HOLD)
"""Roles that may read the raw table may read these, so that `wait` works; the others are their owner's alone."""

_GRANTEE = "CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END"


_PRIVATE = f"""FOR entry IN SELECT DISTINCT c.oid::regclass AS relation,
      {_GRANTEE} AS grantee
    FROM pg_class c, aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
      AND (c.oid = ANY (made) OR c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = classid AND refobjid = ANY (made)))
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', entry.relation, entry.grantee);
  END LOOP;"""
"""A loop that revokes every right on the tables ``made`` and on their sequences, except their owners'."""


def create_bookkeeping(schema: Schema, *names: str) -> str:
    """Return the statement that creates missing bookkeeping tables, each for its owner alone."""
    made = "".join(
        f"""  IF to_regclass({schema[name].literal}) IS NULL THEN
    CREATE TABLE {schema[name]} (
      {DEFINED[name].definition()}
    );
    made := made || to_regclass({schema[name].literal})::oid;
  END IF;
"""
        for name in names
    )
    return f"""DO $aoc$
DECLARE made oid[] := '{{}}'; entry record;
BEGIN
{made}  {_PRIVATE}
END $aoc$"""


def make_private(table: Relation) -> str:
    """Return the statement that revokes every right on ``table`` except its owner's."""
    return f"""DO $aoc$
DECLARE made oid[] := ARRAY[to_regclass({table.literal})]; entry record;
BEGIN
  {_PRIVATE}
END $aoc$"""


def share(schema: Schema, raw: Relation) -> str:
    """Return the statement that lets the readers of the raw table read `READ_BY_ALL` as well."""
    return f"""DO $aoc$
DECLARE entry record;
BEGIN
  FOR entry IN {blind(schema, raw)}
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %s', entry.relation, entry.grantee);
  END LOOP;
END $aoc$"""


def blind(schema: Schema, raw: Relation) -> str:
    """Return a query of (relation, grantee): who may read the raw table, but not that table of `READ_BY_ALL`."""
    listed = ", ".join(f"to_regclass({schema[name].literal})" for name in READ_BY_ALL)
    named = "CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END"
    return f"""SELECT DISTINCT c.oid::regclass AS relation, {_GRANTEE} AS grantee
    FROM pg_class r CROSS JOIN aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a, pg_class c
    WHERE r.oid = to_regclass({raw.literal}) AND a.privilege_type = 'SELECT' AND c.oid IN ({listed})
      AND NOT has_table_privilege({named}, c.oid, 'SELECT')"""
