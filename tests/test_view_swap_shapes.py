"""Legacy tables of every shape: swapped, shown through the view, and swapped back."""

from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import psql, wait_until, writing
from tests.test_view_swap import fingerprint

BUILT = (
    "CREATE VIEW report AS SELECT id FROM advisory; CREATE TABLE old (id text); "
    "CREATE FUNCTION titled(a advisory) RETURNS text LANGUAGE sql AS 'SELECT a.title'; "
    "CREATE TRIGGER guard BEFORE DELETE ON old FOR EACH ROW EXECUTE FUNCTION aoc_advisory_read_only()"
)
SHAPES = {
    "generated": "CREATE TABLE advisory (id text, loud text GENERATED ALWAYS AS (upper(id)) STORED)",
    "identity": "CREATE TABLE advisory (n int GENERATED ALWAYS AS IDENTITY, id text)",
    "dropped": "CREATE TABLE advisory (gone int, id text, also int); "
    "ALTER TABLE advisory DROP gone, DROP also, ADD again int DEFAULT 7",
    "odd names": 'CREATE TABLE advisory (id text, "select" int, "a ""b""" text, "Ünit %" text, "n\'t" text)',
    "partitioned": "CREATE TABLE advisory (id text, tenant text DEFAULT 'b') PARTITION BY LIST (tenant); "
    "CREATE TABLE advisory_a PARTITION OF advisory FOR VALUES IN ('a'); "
    "CREATE TABLE advisory_b PARTITION OF advisory FOR VALUES IN ('b')",
    "inherited": "CREATE TABLE advisory (id text); CREATE TABLE advisory_old (n int) INHERITS (advisory); "
    "INSERT INTO advisory_old VALUES ('3', 3)",
    "domain": 'CREATE DOMAIN short AS varchar(9) COLLATE "C"; CREATE TABLE advisory (id short, at timestamp(3))',
}


def shape(database: Database) -> Any:
    """Return the columns (name, type, collation) and rows of advisory."""
    described = database.connection.execute("SELECT * FROM advisory ORDER BY id")
    columns = database.rows(
        "SELECT attname, format_type(atttypid, atttypmod), attcollation FROM pg_attribute "
        "WHERE attrelid = 'advisory'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return columns, described.fetchall()


@pytest.mark.alike
@pytest.mark.parametrize("name", SHAPES)
def test_tables_of_every_shape_are_swapped_and_back(name: str, concelier: Database, aoc: Aoc) -> None:
    """Whatever columns the table has, the view shows the same columns and rows, and the way back is open."""
    concelier.run(f"DROP TABLE advisory CASCADE; {SHAPES[name]}")
    concelier.run("INSERT INTO advisory (id) VALUES ('1'), ('2')")
    before = shape(concelier)
    aoc.configure(concelier)

    assert aoc("upgrade").exit_code == 0

    assert shape(concelier) == before
    assert aoc.json("verify").slugs() == []
    assert aoc("downgrade", "-1").exit_code == 0
    assert shape(concelier) == before
    concelier.run("INSERT INTO advisory (id) VALUES ('4')")


def test_writers_of_a_partitioned_table_are_noticed(concelier: Database, aoc: Aoc) -> None:
    """Writes are noticed where they land in a partition: the parent's own counters never move."""
    concelier.run(f"DROP TABLE advisory CASCADE; {SHAPES['partitioned']}")
    aoc.configure(concelier)
    written = "SELECT n_tup_ins > 0 FROM pg_stat_user_tables WHERE relname = 'advisory_b'"
    with writing(concelier, "INSERT INTO advisory (id) VALUES ('x')"):
        wait_until(lambda: concelier.value(written))
        ran = aoc.json("audit")

    assert (ran.exit_code, ran.slugs("warning")) == (0, ["advisory-still-written"])


def test_what_was_built_on_the_view_stops_the_downgrade(concelier: Database, aoc: Aoc) -> None:
    """What was made over the view since stops the downgrade before it changes anything, and is named."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run(BUILT)
    before = fingerprint(concelier)
    planned, ran = aoc.json("plan", "concelier", "-1"), aoc.json("downgrade", "-1")
    script = psql(concelier, aoc("plan", "concelier", "head:concelier_0007", "--sql").out)

    assert (ran.exit_code, ran.report["revision"], ran.report["changed"]) == (1, "concelier_0008", False)
    assert (planned.exit_code, planned.slugs("error")) == (1, ["swap-back-conflict"])
    assert ran.slugs("error") == ["swap-back-conflict"]
    for text in (ran.finding("swap-back-conflict")["problem"], script.err):
        assert all(name in text for name in ("view public.report", "function public.titled", "trigger guard"))
    assert (script.exit_code, fingerprint(concelier)) == (3, before)
    assert aoc.json("upgrade").slugs("info") == []
    concelier.run("DROP VIEW report; DROP FUNCTION titled; DROP TABLE old")
    assert aoc("downgrade", "-1").exit_code == 0
    assert concelier.value("SELECT relkind FROM pg_class WHERE oid = 'advisory'::regclass") == "r"


def test_a_renamed_view_is_named_first(concelier: Database, aoc: Aoc) -> None:
    """A view that has another name now still has our trigger: the downgrade and its script name it beforehand."""
    aoc.configure(concelier)
    assert aoc("upgrade").exit_code == 0
    concelier.run("ALTER VIEW advisory RENAME TO advisory_view")
    planned = aoc("plan", "concelier", "concelier_0008:concelier_0007", "--sql").out

    ran, script = aoc.json("downgrade", "-1"), psql(concelier, planned)

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["swap-back-conflict"], False)
    for text in (ran.finding("swap-back-conflict")["problem"], script.err):
        assert "on view public.advisory_view" in text
    concelier.run("ALTER VIEW advisory_view RENAME TO advisory")
    assert aoc("downgrade", "-1").exit_code == 0


def test_the_script_names_and_accepts_a_column(concelier: Database, aoc: Aoc) -> None:
    """The psql script refuses the swap for a column of the row type, until that is accepted."""
    concelier.run("CREATE TABLE holds (n int, a advisory)")
    aoc.configure(concelier)
    script = aoc("plan", "concelier", "base:head", "--sql").out

    ran = psql(concelier, script)
    accepted = psql(concelier, script, "-v", "accept=swap-conflict:holds.a")

    assert (ran.exit_code, "column holds.a" in ran.err) == (3, True)
    assert accepted.exit_code == 0, accepted.err


def test_security_labels_are_a_warning(concelier: Database, aoc: Aoc) -> None:
    """Security labels of the table and its columns are a warning, with what sets them on the view."""
    aoc.configure(concelier)
    assert "swap-labels" not in aoc.json("audit").slugs()
    with concelier.connection.transaction():  # a label cannot be set without a module that provides it
        concelier.run("SET LOCAL allow_system_table_mods = on")
        concelier.run(
            "INSERT INTO pg_seclabel SELECT 'advisory'::regclass, 'pg_class'::regclass, n, 'guard', 'it''s' "
            "FROM (VALUES (0), (1)) AS of (n)"
        )

    ran = aoc.json("audit")
    upgraded = aoc("upgrade")

    assert (ran.exit_code, ran.finding("swap-labels")["severity"], upgraded.exit_code) == (0, "warning", 0)
    assert ran.finding("swap-labels")["help"].endswith(
        "SECURITY LABEL FOR guard ON VIEW public.advisory IS 'it''s'; "
        "SECURITY LABEL FOR guard ON COLUMN public.advisory.id IS 'it''s';"
    )
    assert "swap-labels" not in aoc.json("audit").slugs()
