"""What stands in the way of the view swap, what follows the table, and tables of every shape."""

from typing import Any

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.test_view_swap import BACKUP, make_role

OVER = f"DROP VIEW advisory_titles; ALTER TABLE advisory RENAME TO {BACKUP}; CREATE VIEW advisory"
GUARD = "aoc_advisory_read_only"
CONFLICTS = {
    "both names taken": (f"CREATE TABLE {BACKUP} (id text)", f"the name {BACKUP} is taken"),
    "the backup's name is a view's": (f"CREATE VIEW {BACKUP} AS SELECT 1", f"the name {BACKUP} is taken"),
    "a backup alone": (f"ALTER TABLE advisory RENAME TO {BACKUP}", "but no advisory"),
    "a foreign view": ("DROP TABLE advisory CASCADE; CREATE VIEW advisory AS SELECT 1 AS id", "something else"),
    "a view over both": (
        f"{OVER} AS SELECT b.id FROM {BACKUP} b JOIN advisory_raw r USING (id)",
        "something else",
    ),
    "a view by hand that can be written to": (f"{OVER} AS SELECT * FROM {BACKUP}", "can be written to"),
    "a materialized view": (
        "DROP TABLE advisory CASCADE; CREATE MATERIALIZED VIEW advisory AS SELECT 1 AS id",
        "neither a table nor a view",
    ),
    "a sequence": ("DROP TABLE advisory CASCADE; CREATE SEQUENCE advisory", "neither a table nor a view"),
    "our function's name": (f"CREATE FUNCTION {GUARD}() RETURNS int RETURN 1", f"a function {GUARD} exists"),
    "a publication": ("CREATE PUBLICATION feed FOR TABLE advisory", "the publication feed would silently"),
    "a publication of all": ("CREATE PUBLICATION everything FOR ALL TABLES", "the publication everything"),
    "a function with the row type": (
        "CREATE FUNCTION titled(a advisory) RETURNS text LANGUAGE sql AS 'SELECT a.title'",
        "the function titled would silently",
    ),
    "columns under policies": (
        "ALTER TABLE advisory ENABLE ROW LEVEL SECURITY",
        "role stella-console may read only some columns",
    ),
    "a function that returns its rows": (
        "CREATE FUNCTION listed() RETURNS SETOF advisory LANGUAGE sql AS 'TABLE advisory'",
        "the function listed would silently",
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts(case: str, concelier: Database, aoc: Aoc) -> None:
    """What cannot be swapped is found by the audit, with its reason, and upgrade then changes nothing."""
    obstacle, reason = CONFLICTS[case]
    concelier.run(obstacle)
    aoc.configure(concelier)

    audited, upgraded = aoc.json("audit"), aoc.json("upgrade")

    assert (audited.exit_code, audited.slugs("error")) == (1, ["swap-conflict"])
    assert reason in audited.finding("swap-conflict")["problem"]
    assert (upgraded.exit_code, upgraded.slugs("error"), upgraded.report["changed"]) == (
        1,
        ["swap-conflict"],
        False,
    )
    assert concelier.value("SELECT to_regclass('aoc_migration_state')") is None


def test_conflicts_stop_only_the_swap(concelier: Database, aoc: Aoc) -> None:
    """What stands in the way of the view does not keep the constraints from going in before."""
    concelier.run(CONFLICTS["both names taken"][0])
    aoc.configure(concelier)

    assert aoc("upgrade", "concelier_0007").exit_code == 0


@pytest.mark.parametrize("name", ["feed", "titled"])
def test_accepted_conflicts(name: str, concelier: Database, aoc: Aoc) -> None:
    """--accept NAME lets one named conflict happen, and only that one."""
    concelier.run(CONFLICTS["a publication"][0])
    concelier.run(CONFLICTS["a function with the row type"][0])
    other = "titled" if name == "feed" else "feed"
    aoc.configure(concelier)

    for command in ("audit", "upgrade"):
        ran = aoc.json(command, "--accept", name)
        assert (ran.exit_code, ran.slugs("error")) == (1, ["swap-conflict"])
        assert f" {other} " in ran.finding("swap-conflict")["problem"]
    assert aoc("audit", "--accept", name, "--accept", other).exit_code == 0
    assert aoc("upgrade", "--accept", name, "--accept", other).exit_code == 0
    assert aoc("verify").exit_code == 0
    assert aoc("downgrade", "-1").exit_code == 0
    assert concelier.value("SELECT titled(a) FROM advisory a WHERE id = 'CVE-2024-20001'") == "Merged advisory 1"


def test_a_view_by_hand_is_taken_as_it_is(concelier: Database, aoc: Aoc) -> None:
    """A read-only view over the backup that somebody made before is left alone, going up and going down."""
    concelier.run(f"{OVER} AS SELECT DISTINCT * FROM {BACKUP}")
    concelier.run("ALTER VIEW advisory OWNER TO stella_concelier")
    before = concelier.value("SELECT 'advisory'::regclass::oid")
    aoc.configure(concelier)

    up, verified, down = aoc.json("upgrade"), aoc.json("verify"), aoc.json("downgrade", "-1")

    assert (up.exit_code, up.slugs("error")) == (0, [])
    assert (verified.exit_code, verified.slugs("error")) == (0, [])
    assert down.exit_code == 0
    assert concelier.value("SELECT 'advisory'::regclass::oid") == before
    assert concelier.value(f"SELECT count(*) FROM {BACKUP}") == 50


def test_no_advisory_at_all(concelier: Database, aoc: Aoc) -> None:
    """Where nobody ever had the legacy table there is nothing to swap, which audit, upgrade and verify say."""
    concelier.run("DROP TABLE advisory CASCADE")
    aoc.configure(concelier)

    for words in (["audit"], ["upgrade"], ["verify"]):
        ran = aoc.json(*words)
        assert (ran.exit_code, ran.slugs()) == (0, ["swap-not-applicable"])
        assert ran.finding("swap-not-applicable")["severity"] == "info"
    assert aoc("downgrade", "-1").exit_code == 0


def test_dependents_go_on_working(concelier: Database, aoc: Aoc) -> None:
    """Views, materialized views and foreign keys over the table follow it, work on, and are listed."""
    concelier.run(
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM advisory; "
        "CREATE TABLE note (advisory_id text CONSTRAINT of_advisory REFERENCES advisory ON DELETE CASCADE)"
    )
    aoc.configure(concelier)

    audited = aoc.json("audit")
    assert aoc("upgrade").exit_code == 0

    listed = audited.finding("swap-dependents")
    assert (audited.exit_code, listed["severity"], listed["count"]) == (0, "info", 3)
    assert {"view advisory_titles", "materialized view counted", "foreign key note.of_advisory"} == set(
        listed["problem"].rpartition(": ")[2].rstrip(".").split(", ")
    )
    concelier.run('SET ROLE "stella-console"')
    assert concelier.value("SELECT count(*) FROM advisory_titles") == 50
    concelier.run("RESET ROLE; REFRESH MATERIALIZED VIEW counted")
    concelier.run("INSERT INTO note VALUES ('CVE-2024-20001')")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        concelier.run("INSERT INTO note VALUES ('nothing')")


def migrator(concelier: Database, aoc: Aoc) -> None:
    """Connect as an ordinary member of the NOLOGIN role that owns every table."""
    make_role(concelier, "migrator", "LOGIN PASSWORD 'm' IN ROLE stella_concelier")
    concelier.run("ALTER TABLE advisory_raw OWNER TO stella_concelier; GRANT CREATE ON SCHEMA public TO migrator")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("migrator", "m")


def test_member_of_the_owner(concelier: Database, aoc: Aoc) -> None:
    """An ordinary member of the owner swaps up and down; the view then belongs to the owner, not to it."""
    migrator(concelier, aoc)
    concelier.run("GRANT CREATE ON SCHEMA public TO stella_concelier")

    up, verified = aoc.json("upgrade"), aoc.json("verify")

    assert (up.exit_code, up.slugs("warning"), verified.slugs()) == (0, [], [])
    assert concelier.value("SELECT viewowner FROM pg_views WHERE viewname = 'advisory'") == "stella_concelier"
    assert [aoc("downgrade", "-1").exit_code, aoc("upgrade", "--release-hold").exit_code] == [0, 0]


def test_owner_who_may_not_create(concelier: Database, aoc: Aoc) -> None:
    """An owner without CREATE on the schema could not own the view: said beforehand, with the GRANT."""
    migrator(concelier, aoc)
    concelier.run("REVOKE CREATE ON SCHEMA public FROM stella_concelier")

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["swap-conflict"], False)
    remedy = ran.finding("swap-conflict")["help"].removeprefix("Run: ")
    concelier.run(remedy)
    assert aoc("upgrade").exit_code == 0


def test_grants_by_another_grantor(concelier: Database, aoc: Aoc) -> None:
    """Grants of a role that we may not act for are refused beforehand; as its member we repeat them."""
    migrator(concelier, aoc)
    concelier.run("GRANT CREATE ON SCHEMA public TO stella_concelier")
    make_role(concelier, "friend")
    concelier.run("SET ROLE stella_reader; GRANT SELECT (id) ON advisory TO friend; RESET ROLE")

    refused = aoc.json("upgrade")
    concelier.run("GRANT stella_reader TO migrator")
    accepted = aoc.json("upgrade")

    assert (refused.exit_code, refused.slugs("error"), refused.report["changed"]) == (1, ["swap-conflict"], False)
    assert "role stella_reader granted" in refused.finding("swap-conflict")["problem"]
    assert (accepted.exit_code, accepted.slugs("warning")) == (0, [])
    assert concelier.value(
        "SELECT array_agg(grantor::regrole::text) FROM pg_attribute, aclexplode(attacl) "
        "WHERE attrelid = 'advisory'::regclass AND grantee = 'friend'::regrole"
    ) == ["stella_reader"]


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


@pytest.mark.parametrize("name", SHAPES)
def test_tables_of_every_shape(name: str, concelier: Database, aoc: Aoc) -> None:
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
