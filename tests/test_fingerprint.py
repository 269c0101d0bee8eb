"""The fingerprint of a schema has every kind of change in it, and nothing that is not a change."""

import pytest

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.inspect.fingerprint import Entry, differences, fingerprint
from tests.conftest import Database
from tests.test_view_swap import make_role

RICH = """
CREATE FUNCTION public.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION public.positive(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE TABLE public.notes (id integer PRIMARY KEY, body text DEFAULT 'x', parent integer, kept integer NOT NULL,
  CONSTRAINT positive CHECK (public.positive(id)));
ALTER TABLE public.notes ADD CONSTRAINT short CHECK (length(body) < 9) NOT VALID;
CREATE INDEX notes_body ON public.notes (body);
CREATE TRIGGER seen BEFORE INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.seen();
CREATE RULE quiet AS ON DELETE TO public.notes DO INSTEAD NOTHING;
CREATE POLICY own ON public.notes USING (id > 0);
CREATE TABLE public.parts (day date) PARTITION BY RANGE (day);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.part PARTITION OF public.parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE VIEW elsewhere.reader AS SELECT id FROM public.notes;
CREATE TABLE elsewhere.child (note integer CONSTRAINT refers REFERENCES public.notes);
CREATE FUNCTION elsewhere.takes(public.notes) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TYPE public.mood AS ENUM ('good');
"""
NOTES, BODY = "public.notes", "public.notes.body"
CHANGES = {
    f"ALTER TABLE {NOTES} ADD COLUMN more text": ("added", "column", f"{NOTES}.more"),
    f"ALTER TABLE {NOTES} DROP COLUMN parent": ("lacking", "column", f"{NOTES}.parent"),
    f"ALTER TABLE {NOTES} ALTER parent TYPE bigint": ("changed", "column", f"{NOTES}.parent", "type"),
    f"ALTER TABLE {NOTES} ALTER body SET DEFAULT 'y'": ("changed", "column", BODY, "default"),
    f"ALTER TABLE {NOTES} ALTER body SET STORAGE EXTERNAL": ("changed", "column", BODY, "storage"),
    f"ALTER TABLE {NOTES} ALTER body SET STATISTICS 7": ("changed", "column", BODY, "statistics_target"),
    f"ALTER TABLE {NOTES} ALTER body SET (n_distinct = 7)": ("changed", "column", BODY, "options"),
    f"ALTER TABLE {NOTES} ALTER body SET COMPRESSION pglz": ("changed", "column", BODY, "compression"),
    f"ALTER TABLE {NOTES} ALTER kept DROP NOT NULL": ("changed", "column", f"{NOTES}.kept", "not_null"),
    f"COMMENT ON COLUMN {BODY} IS 'c'": ("changed", "column", BODY, "comment"),
    f"GRANT SELECT (body) ON {NOTES} TO PUBLIC": ("changed", "column", BODY, "rights"),
    f"GRANT SELECT ON {NOTES} TO PUBLIC": ("changed", "relation", NOTES, "rights"),
    f"ALTER TABLE {NOTES} SET (fillfactor = 70)": ("changed", "relation", NOTES, "options"),
    f"ALTER TABLE {NOTES} SET (toast.autovacuum_enabled = off)": ("changed", "relation", NOTES, "toast_options"),
    f"ALTER TABLE {NOTES} ENABLE ROW LEVEL SECURITY": ("changed", "relation", NOTES, "row_security"),
    f"ALTER TABLE {NOTES} REPLICA IDENTITY FULL": ("changed", "relation", NOTES, "replica_identity"),
    f"COMMENT ON TABLE {NOTES} IS 'c'": ("changed", "relation", NOTES, "comment"),
    f"ALTER TABLE {NOTES} VALIDATE CONSTRAINT short": ("changed", "constraint", f"{NOTES}.short", "definition"),
    f"ALTER TABLE {NOTES} DROP CONSTRAINT short": ("lacking", "constraint", f"{NOTES}.short"),
    f"COMMENT ON CONSTRAINT short ON {NOTES} IS 'c'": ("changed", "constraint", f"{NOTES}.short", "comment"),
    f"CREATE INDEX more ON {NOTES} (kept)": ("added", "index", "public.more"),
    "DROP INDEX public.notes_body": ("lacking", "index", "public.notes_body"),
    "ALTER INDEX public.notes_body SET (fillfactor = 50)": ("changed", "index", "public.notes_body", "definition"),
    "COMMENT ON INDEX public.notes_body IS 'c'": ("changed", "relation", "public.notes_body", "comment"),
    f"CLUSTER {NOTES} USING notes_body": ("changed", "index", "public.notes_body", "clustered"),
    f"ALTER TABLE {NOTES} DISABLE TRIGGER seen": ("changed", "trigger", f"{NOTES}.seen", "enabled"),
    f"DROP TRIGGER seen ON {NOTES}": ("lacking", "trigger", f"{NOTES}.seen"),
    f"ALTER TABLE {NOTES} DISABLE RULE quiet": ("changed", "rule", f"{NOTES}.quiet", "enabled"),
    f"DROP RULE quiet ON {NOTES}": ("lacking", "rule", f"{NOTES}.quiet"),
    f"ALTER POLICY own ON {NOTES} USING (id > 1)": ("changed", "policy", f"{NOTES}.own", "using"),
    f"ALTER POLICY own ON {NOTES} TO CURRENT_USER": ("changed", "policy", f"{NOTES}.own", "roles"),
    f"DROP POLICY own ON {NOTES}": ("lacking", "policy", f"{NOTES}.own"),
    "CREATE OR REPLACE FUNCTION public.positive(integer) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'": (
        *("changed", "function", "public.positive(integer)", "definition"),
    ),
    "REVOKE EXECUTE ON FUNCTION public.positive FROM PUBLIC": (
        *("changed", "function", "public.positive(integer)", "rights"),
    ),
    "COMMENT ON FUNCTION public.positive IS 'c'": ("changed", "function", "public.positive(integer)", "comment"),
    "ALTER TABLE public.parts DETACH PARTITION elsewhere.part": ("lacking", "partition", "elsewhere.part"),
    f"CREATE PUBLICATION p FOR TABLE {NOTES}": ("added", "publication", f"p of {NOTES}"),
    f"CREATE STATISTICS public.pair ON id, kept FROM {NOTES}": ("added", "statistics", "public.pair"),
    "DROP VIEW elsewhere.reader": ("lacking", "dependent", "view elsewhere.reader"),
    "CREATE OR REPLACE VIEW elsewhere.reader AS SELECT id + 0 AS id FROM public.notes": (
        *("changed", "dependent", "view elsewhere.reader", "definition"),
    ),
    "DROP TABLE elsewhere.child": ("lacking", "dependent", "constraint refers on table elsewhere.child"),
    "DROP FUNCTION elsewhere.takes": ("lacking", "dependent", "function elsewhere.takes(public.notes)"),
}
OF_THE_SCHEMA = {
    "COMMENT ON SCHEMA public IS 'c'": ("changed", "schema", "public", "comment"),
    "ALTER TYPE public.mood ADD VALUE 'bad'": ("changed", "type", "public.mood", "labels"),
    "CREATE FUNCTION public.more() RETURNS integer LANGUAGE sql AS 'SELECT 1'": (
        *("added", "function", "public.more()"),
    ),
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC": (
        *("added", "default rights", "{user} for r in public"),
    ),
}


def look(database: Database, *relations: str) -> tuple[Entry, ...]:
    """Return the fingerprint of the whole schema, or of some relations of it."""
    with connect(Target("concelier", database.url), "test", Limits(), Flags()) as session:
        return fingerprint(session, relations or None)


@pytest.mark.alike
@pytest.mark.parametrize("statement", [*CHANGES, *OF_THE_SCHEMA])
def test_a_change_is_seen(statement: str, empty_database: Database) -> None:
    """Each kind of change is a difference of the object that changed, in the whole schema and of its relation."""
    empty_database.run(RICH)
    whole, named = look(empty_database), look(empty_database, "notes", "parts")

    empty_database.run(statement)

    expected = (CHANGES | OF_THE_SCHEMA)[statement]
    change, kind, name, *fields = (part.format(user=empty_database.connection.info.user) for part in expected)
    for before, relations in (whole, ()), (named, ("notes", "parts")):
        seen = differences(before, look(empty_database, *relations))
        found = [f for f in seen if (f.change, f.kind, f.object) == (change, kind, name)]
        assert len(found) == (not relations or statement in CHANGES), seen
        assert [list(difference.fields) for difference in found] == [fields] * len(found)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("ALTER TABLE public.notes OWNER TO other", "relation"),
        ("ALTER FUNCTION public.seen OWNER TO other", "function"),
    ],
)
def test_another_owner_is_seen(statement: str, kind: str, empty_database: Database) -> None:
    """Another owner of a table or of a function of its triggers is a difference, in owner and rights."""
    make_role(empty_database, "other")
    empty_database.run(RICH)
    before = look(empty_database, "notes")

    empty_database.run(statement)

    seen = differences(before, look(empty_database, "notes"))
    assert [(f.kind, f.fields) for f in seen if f.object in ("public.notes", "public.seen()")] == [
        (kind, ("owner", "rights"))
    ]
    empty_database.run("DROP OWNED BY other CASCADE")


def test_what_is_made_again_looks_the_same(empty_database: Database) -> None:
    """Objects that are dropped and made again, rows, statistics and VACUUM FULL are no difference."""
    empty_database.run(RICH)
    before = look(empty_database), look(empty_database, "notes")

    empty_database.run(
        "DROP SCHEMA elsewhere CASCADE; DROP TABLE public.notes, public.parts; DROP TYPE public.mood"
    )
    empty_database.run("DROP FUNCTION public.seen, public.positive")
    empty_database.run(RICH)
    empty_database.run("INSERT INTO public.notes SELECT n, 'x', n, n FROM generate_series(1, 999) AS n")
    empty_database.run("VACUUM (FULL, ANALYZE) public.notes")

    assert (look(empty_database), look(empty_database, "notes")) == before


def test_a_relation_that_is_missing_has_no_entry(empty_database: Database) -> None:
    """A fingerprint of a relation that does not exist is empty, and of no relation as well."""
    assert (look(empty_database, "absent"), differences((), ())) == ((), [])
