"""What blocks the view swap, and what follows the table."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.postgres_versions import SET_FALSE, needs
from tests.test_view_swap import BACKUP, make_role

pytestmark = pytest.mark.every_postgres

OVER = f"DROP VIEW advisory_titles; ALTER TABLE advisory RENAME TO {BACKUP}; CREATE VIEW advisory"
GUARD = "aoc_advisory_read_only"
CONFLICTS = {
    "both names taken": (f"CREATE TABLE {BACKUP} (id text)", f"the name {BACKUP} is taken"),
    "the backup's name is a view's": (f"CREATE VIEW {BACKUP} AS SELECT 1", f"the name {BACKUP} is taken"),
    "a backup alone": (f"ALTER TABLE advisory RENAME TO {BACKUP}", "but no advisory"),
    "a foreign view": ("DROP TABLE advisory CASCADE; CREATE VIEW advisory AS SELECT 1 AS id", "but not over"),
    "a view over both": (
        f"{OVER} AS SELECT b.id FROM {BACKUP} b JOIN advisory_raw r USING (id)",
        "but not over",
    ),
    "a view over a namesake": (
        f"DROP VIEW advisory_titles; ALTER TABLE advisory RENAME TO {BACKUP}; CREATE SCHEMA theirs; "
        f"CREATE TABLE theirs.{BACKUP} (id text); CREATE VIEW advisory AS SELECT id FROM theirs.{BACKUP}",
        "but not over",
    ),
    "a view by hand that accepts writes": (f"{OVER} AS SELECT * FROM {BACKUP}", "accepts writes"),
    "a materialized view": (
        "DROP TABLE advisory CASCADE; CREATE MATERIALIZED VIEW advisory AS SELECT 1 AS id",
        "neither a table nor a view",
    ),
    "a sequence": ("DROP TABLE advisory CASCADE; CREATE SEQUENCE advisory", "neither a table nor a view"),
    "our function's name": (
        f"CREATE FUNCTION {GUARD}() RETURNS int RETURN 1",
        f"a function {GUARD} already exists",
    ),
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
    "a column of the row type": ("CREATE TABLE holds (n int, a advisory)", "the column holds.a has its row type"),
    "a column of many rows": ("CREATE TABLE holds (a advisory[])", "the column holds.a has its row type"),
    "a domain": ("CREATE DOMAIN merged AS advisory", "the type merged has its row type"),
    "a composite type": ("CREATE TYPE pair AS (a advisory, b advisory)", "the type pair has its row type"),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", CONFLICTS)
def test_a_conflict_is_found_and_nothing_changes(case: str, concelier: Database, aoc: Aoc) -> None:
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
    """What blocks the view swap does not stop the constraints before it."""
    concelier.run(CONFLICTS["both names taken"][0])
    aoc.configure(concelier)

    assert aoc("upgrade", "concelier_0007").exit_code == 0


@pytest.mark.alike
@pytest.mark.parametrize("name", ["listed", "titled"])
def test_accept_allows_one_conflict(name: str, concelier: Database, aoc: Aoc) -> None:
    """--accept lets one conflict happen, and only that one."""
    concelier.run(CONFLICTS["a function that returns its rows"][0])
    concelier.run(CONFLICTS["a function with the row type"][0])
    other = "titled" if name == "listed" else "listed"
    aoc.configure(concelier)

    for command in ("audit", "upgrade"):
        ran = aoc.json(command, "--accept", f"swap-conflict:{name}")
        assert (ran.exit_code, ran.slugs("error")) == (1, ["swap-conflict"])
        assert f" {other} " in ran.finding("swap-conflict")["problem"]
    assert aoc("audit", "--accept", f"swap-conflict:{name}", "--accept", f"swap-conflict:{other}").exit_code == 0
    assert aoc("upgrade", "--accept", f"swap-conflict:{name}", "--accept", f"swap-conflict:{other}").exit_code == 0
    assert aoc("verify").exit_code == 0
    assert aoc("downgrade", "-1").exit_code == 0
    assert concelier.value("SELECT titled(a) FROM advisory a WHERE id = 'CVE-2024-20001'") == "Merged advisory 1"


def test_a_view_made_by_hand_is_left_alone(concelier: Database, aoc: Aoc) -> None:
    """A read-only view over the backup that somebody made before is left alone, going up and going down."""
    concelier.run(f"{OVER} AS SELECT DISTINCT * FROM {BACKUP}")
    concelier.run("ALTER VIEW advisory OWNER TO stella_concelier; GRANT SELECT ON advisory TO PUBLIC")
    before = concelier.value("SELECT 'advisory'::regclass::oid")
    aoc.configure(concelier)

    up, verified, down = aoc.json("upgrade"), aoc.json("verify"), aoc.json("downgrade", "-1")

    assert (up.exit_code, up.slugs("error")) == (0, [])
    assert (verified.exit_code, verified.slugs("error")) == (0, [])
    assert (down.exit_code, "view-changed-since" in down.slugs()) == (0, False)
    assert concelier.value("SELECT 'advisory'::regclass::oid") == before
    assert concelier.value(f"SELECT count(*) FROM {BACKUP}") == 50


def test_without_a_legacy_table_nothing_is_swapped(concelier: Database, aoc: Aoc) -> None:
    """Where nobody ever had the legacy table there is nothing to swap, which audit, upgrade and verify say."""
    concelier.run("DROP TABLE advisory CASCADE")
    aoc.configure(concelier)

    for words in (["audit"], ["upgrade"], ["verify"]):
        ran = aoc.json(*words)
        assert (ran.exit_code, ran.slugs()) == (0, ["swap-not-applicable"])
        assert ran.finding("swap-not-applicable")["severity"] == "info"
    assert aoc("downgrade", "-1").exit_code == 0


def test_dependents_keep_working(concelier: Database, aoc: Aoc) -> None:
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
    assert set(listed["problem"].rpartition(": ")[2].rstrip(".").split(", ")) == {
        "view public.advisory_titles",
        "materialized view public.counted",
        "constraint of_advisory on table public.note",
    }
    concelier.run('SET ROLE "stella-console"')
    assert concelier.value("SELECT count(*) FROM advisory_titles") == 50
    concelier.run("RESET ROLE; REFRESH MATERIALIZED VIEW counted")
    concelier.run("INSERT INTO note VALUES ('CVE-2024-20001')")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        concelier.run("INSERT INTO note VALUES ('nothing')")


def test_rules_policies_and_functions_follow_the_table(concelier: Database, aoc: Aoc) -> None:
    """Rules, policies and functions that were parsed when made follow the table too, and are named."""
    concelier.run(
        "CREATE FUNCTION counted() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM advisory; END; "
        "CREATE TABLE note (id text); CREATE POLICY known ON note USING (id IN (SELECT id FROM advisory)); "
        "CREATE RULE forget AS ON DELETE TO note DO ALSO DELETE FROM advisory WHERE id = OLD.id"
    )
    aoc.configure(concelier)

    listed = aoc.json("audit").finding("swap-dependents")
    assert aoc("upgrade").exit_code == 0

    concelier.run("INSERT INTO note SELECT min(id) FROM advisory; DELETE FROM note")
    assert (concelier.value("SELECT counted()"), concelier.value("SELECT count(*) FROM advisory")) == (49, 49)
    assert listed["count"] == 4
    assert all(name in listed["problem"] for name in ("advisory_titles", "counted", "known", "note"))
    assert "view note" not in listed["problem"]


def migrator(concelier: Database, aoc: Aoc) -> None:
    """Connect as an ordinary member of the NOLOGIN role that owns every table."""
    make_role(concelier, "migrator", "LOGIN PASSWORD 'm' IN ROLE stella_concelier")
    concelier.run("ALTER TABLE advisory_raw OWNER TO stella_concelier; GRANT CREATE ON SCHEMA public TO migrator")
    aoc.environment["CONCELIER_DATABASE_URL"] = concelier.url_as("migrator", "m")


def test_a_member_of_the_owner_can_swap(concelier: Database, aoc: Aoc) -> None:
    """An ordinary member of the owner swaps up and down; the view then belongs to the owner, not to it."""
    migrator(concelier, aoc)
    concelier.run("GRANT CREATE ON SCHEMA public TO stella_concelier")

    up, verified = aoc.json("upgrade"), aoc.json("verify")

    assert (up.exit_code, up.slugs("warning"), verified.slugs()) == (0, ["limited-visibility"], [])
    assert concelier.value("SELECT viewowner FROM pg_views WHERE viewname = 'advisory'") == "stella_concelier"
    assert [aoc("downgrade", "-1").exit_code, aoc("upgrade", "--release-hold").exit_code] == [0, 0]


def test_an_owner_without_create_is_refused_first(concelier: Database, aoc: Aoc) -> None:
    """An owner without CREATE on the schema could not own the view: said beforehand, with the GRANT."""
    migrator(concelier, aoc)
    concelier.run("REVOKE CREATE ON SCHEMA public FROM stella_concelier")

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["swap-conflict"], False)
    remedy = ran.finding("swap-conflict")["help"].removeprefix("Run: ")
    concelier.run(remedy)
    assert aoc("upgrade").exit_code == 0


def test_grants_of_another_grantor_need_membership(concelier: Database, aoc: Aoc) -> None:
    """Grants of a role that we may not act for are refused beforehand; as its member we repeat them."""
    migrator(concelier, aoc)
    concelier.run("GRANT CREATE ON SCHEMA public TO stella_concelier")
    make_role(concelier, "friend")
    concelier.run("SET ROLE stella_reader; GRANT SELECT (id) ON advisory TO friend; RESET ROLE")

    refused = aoc.json("upgrade")
    concelier.run("GRANT stella_reader TO migrator")
    accepted = aoc.json("upgrade")

    assert (refused.exit_code, refused.slugs("error"), refused.report["changed"]) == (1, ["swap-conflict"], False)
    assert "we may not act as role stella_reader" in refused.finding("swap-conflict")["problem"]
    assert (accepted.exit_code, accepted.slugs("warning")) == (0, ["limited-visibility"])
    assert concelier.value(
        "SELECT array_agg(grantor::regrole::text) FROM pg_attribute, aclexplode(attacl) "
        "WHERE attrelid = 'advisory'::regclass AND grantee = 'friend'::regrole"
    ) == ["stella_reader"]


def test_membership_without_set_role_is_refused(concelier: Database, aoc: Aoc) -> None:
    """A member of the grantor that may not SET ROLE to it (PostgreSQL 16) is refused beforehand as well."""
    needs(concelier.connection, SET_FALSE)
    migrator(concelier, aoc)
    make_role(concelier, "friend")
    concelier.run(
        "GRANT CREATE ON SCHEMA public TO stella_concelier; GRANT stella_reader TO migrator WITH SET FALSE"
    )
    concelier.run("SET ROLE stella_reader; GRANT SELECT (id) ON advisory TO friend; RESET ROLE")

    ran = aoc.json("upgrade")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["swap-conflict"], False)
