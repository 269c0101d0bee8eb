"""Verify finds whatever somebody changed, under its own name, and nothing else."""

import pytest

from tests.conftest import Aoc, Database
from tests.copies import made_once
from tests.postgres_versions import NOT_ENFORCED, NOT_VALID, needs
from tests.test_view_swap import BACKUP

HEADS = {"concelier": 8, "excititor": 7}


@pytest.fixture(params=["concelier", "excititor"])
def migrated(request: pytest.FixtureRequest, aoc: Aoc) -> Database:
    """Each target's database in turn, at head."""
    chosen: Database = request.getfixturevalue(request.param)
    aoc.configure(chosen)
    made_once(request, chosen, lambda: aoc("upgrade"))
    return chosen


@pytest.fixture
def concelier_at_head(request: pytest.FixtureRequest, concelier: Database, aoc: Aoc) -> Database:
    """Concelier's database at head."""
    aoc.configure(concelier)
    made_once(request, concelier, lambda: aoc("upgrade"))
    return concelier


@pytest.mark.alike
@pytest.mark.parametrize("target", HEADS)
def test_every_revision_verifies_at_its_own_level(target: str, request: pytest.FixtureRequest, aoc: Aoc) -> None:
    """At each revision, up and down, what it promises holds; below head a warning says so."""
    database: Database = request.getfixturevalue(target)
    aoc.configure(database)
    database.add("1")
    up = list(range(1, HEADS[target] + 1))
    steps = [("upgrade", n) for n in up] + [("downgrade", n) for n in up[-2::-1]]

    for verb, n in steps:
        assert aoc(verb, f"{target}_{n:04}").exit_code == 0
        ran = aoc.json("verify", "--probe")
        assert (ran.exit_code, ran.slugs("error")) == (0, [])
        assert ran.slugs("warning") == (["not-at-head"] if n < HEADS[target] else [])


AGAIN = "ALTER TABLE {t} DROP CONSTRAINT {t}_objects_v1, ADD CONSTRAINT {t}_objects_v1 CHECK"
CHANGED_CONSTRAINTS = {
    "weaker": f"{AGAIN} (source IS NOT NULL)",
    "the same and more": f"{AGAIN} ({{p}} OR tenant = 'friend')",
    "not signed": "COMMENT ON CONSTRAINT {t}_objects_v1 ON {t} IS NULL",
    "with another's signature": "COMMENT ON CONSTRAINT {t}_objects_v1 ON {t} IS '{other}'",
    "the content's": "ALTER TABLE {t} DROP CONSTRAINT {t}_content_v1, "
    "ADD CONSTRAINT {t}_content_v1 CHECK (content <> '[]')",
}


def signed(database: Database, what: str, rule: str) -> str:
    """Return definition or comment of a constraint of ours."""
    name = f"{database.table}_{rule}_v1"
    expression = {"p": "pg_get_expr(conbin, conrelid)", "comment": "obj_description(oid)"}[what]
    return str(database.value(f"SELECT {expression} FROM pg_constraint WHERE conname = %s", [name]))


@pytest.mark.alike
@pytest.mark.parametrize("case", CHANGED_CONSTRAINTS)
def test_a_changed_constraint_is_found(case: str, migrated: Database, aoc: Aoc) -> None:
    """A constraint of our name with another meaning, or without its signature, does not count as ours."""
    comment = signed(migrated, "comment", "objects")
    words = {"p": signed(migrated, "p", "objects"), "other": signed(migrated, "comment", "keys")}
    migrated.run(CHANGED_CONSTRAINTS[case].format(t=migrated.table, **words))
    if case == "weaker":
        migrated.run(f"COMMENT ON CONSTRAINT {migrated.table}_objects_v1 ON {migrated.table} IS '{comment}'")

    ran = aoc.json("verify")

    rule = "content" if case == "the content's" else "objects"
    assert (ran.exit_code, ran.slugs()) == (1, ["changed-constraint"])
    assert ran.finding("changed-constraint")["subject"] == f"{migrated.table}.{migrated.table}_{rule}_v1"


def test_a_constraint_that_is_not_enforced_is_found(excititor: Database, aoc: Aoc) -> None:
    """The right predicate with the right signature, but NOT ENFORCED (PostgreSQL 18), does not pass."""
    needs(excititor.connection, NOT_ENFORCED)
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    comment, predicate = signed(excititor, "comment", "objects"), signed(excititor, "p", "objects")
    excititor.run(f"{AGAIN.format(t='vex_raw')} ({predicate}) NOT ENFORCED")
    excititor.run(f"COMMENT ON CONSTRAINT vex_raw_objects_v1 ON vex_raw IS '{comment}'")

    assert aoc.json("verify").slugs("error") == ["changed-constraint"]


def test_a_not_null_that_is_not_valid_is_found(excititor: Database, aoc: Aoc) -> None:
    """NOT NULL … NOT VALID (PostgreSQL 18) proves nothing about old rows, and verify does not count it."""
    needs(excititor.connection, NOT_VALID)
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run("ALTER TABLE vex_raw ALTER tenant DROP NOT NULL")
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT later NOT NULL tenant NOT VALID")

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs()) == (1, ["missing-constraint"])
    assert ran.finding("missing-constraint")["subject"] == "vex_raw.tenant NOT NULL"


KEY = "tenant, source_vendor, upstream_id"
CHANGED_INDEXES = {
    "not unique": f"CREATE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}, content_hash)",
    "fewer columns": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY})",
    "another order": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw (content_hash, {KEY})",
    "partial": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}, content_hash) WHERE tenant <> 'x'",
    "an expression": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}, lower(content_hash))",
    "more columns": f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw ({KEY}, content_hash, id)",
    "another table's": "CREATE TABLE another (n int); CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON another (n)",
    "no index": "CREATE TABLE vex_raw_idempotency_v1 (n int)",
    "chain descending": f'CREATE INDEX vex_raw_chain_v1 ON vex_raw ({KEY}, retrieved_at DESC, id COLLATE "C")',
    "chain without id": f"CREATE INDEX vex_raw_chain_v1 ON vex_raw ({KEY}, retrieved_at)",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", CHANGED_INDEXES)
def test_a_changed_index_is_found(case: str, excititor: Database, aoc: Aoc) -> None:
    """An index of our name with another definition does not count as ours."""
    name = f"vex_raw_{'chain' if case.startswith('chain') else 'idempotency'}_v1"
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run(f"DROP INDEX {name}")
    excititor.run(CHANGED_INDEXES[case])

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs()) == (1, ["changed-index"])
    assert ran.finding("changed-index")["subject"] == name


VIEWS = {
    "gone": ("DROP VIEW advisory", "there is no such view"),
    "a table": ("DROP VIEW advisory; CREATE TABLE advisory (id text)", "it is a table"),
    "over something else": (
        "DROP VIEW advisory; CREATE VIEW advisory AS SELECT id FROM advisory_raw",
        "advisory_raw",
    ),
    "over a namesake": (
        f"DROP VIEW advisory; CREATE SCHEMA theirs; CREATE TABLE theirs.{BACKUP} (id text); "
        f"CREATE VIEW advisory AS SELECT id FROM theirs.{BACKUP}",
        f"it reads theirs.{BACKUP}",
    ),
    "over nothing": ("DROP VIEW advisory; CREATE VIEW advisory AS SELECT 1 AS id", "it reads nothing"),
    "over more": (
        f"CREATE OR REPLACE VIEW advisory AS SELECT * FROM {BACKUP} WHERE EXISTS (SELECT FROM advisory_raw)",
        "advisory_raw",
    ),
}


@pytest.mark.alike
@pytest.mark.parametrize("case", VIEWS)
def test_anything_else_under_the_views_name_is_found(case: str, concelier_at_head: Database, aoc: Aoc) -> None:
    """Anything but a view over the backup alone under the view's name is found; the help repairs it."""
    change, reason = VIEWS[case]
    concelier_at_head.run(change)

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["view-target"])
    assert reason in ran.finding("view-target")["problem"]
    concelier_at_head.run(
        "ALTER TABLE advisory RENAME TO its" if case == "a table" else "DROP VIEW IF EXISTS advisory"
    )
    for words in ("downgrade concelier concelier_0007", "upgrade concelier --release-hold"):
        assert f"aoc-migrate {words}" in ran.finding("view-target")["help"]
        assert aoc(*words.split()).exit_code == 0
    assert aoc.json("verify").slugs("error") == []


GUARD = "aoc_advisory_read_only"
WRITABLE = {
    "no trigger": f"DROP TRIGGER {GUARD} ON advisory",
    "one way only": f"CREATE OR REPLACE TRIGGER {GUARD} INSTEAD OF INSERT ON advisory "
    f"FOR EACH ROW EXECUTE FUNCTION {GUARD}()",
    "another function": "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
    f"CREATE OR REPLACE TRIGGER {GUARD} INSTEAD OF INSERT OR UPDATE OR DELETE ON advisory "
    "FOR EACH ROW EXECUTE FUNCTION noted()",
    "another body": f"CREATE OR REPLACE FUNCTION {GUARD}() RETURNS trigger LANGUAGE plpgsql "
    f"AS 'BEGIN DELETE FROM {BACKUP}; RETURN NEW; END'",
}


@pytest.mark.alike
@pytest.mark.parametrize("case", WRITABLE)
def test_a_writable_view_is_found_and_repaired(case: str, concelier_at_head: Database, aoc: Aoc) -> None:
    """A view whose writes are not all refused is found, and repaired by the next upgrade."""
    concelier_at_head.run(WRITABLE[case])

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["view-writable"])
    assert aoc("upgrade").exit_code == 0
    assert aoc("verify").exit_code == 0
    with pytest.raises(Exception, match="advisory is read-only"):
        concelier_at_head.run("DELETE FROM advisory")


PRIVILEGES = {
    "GRANT SELECT ON advisory TO PUBLIC": "SELECT to PUBLIC",
    f"GRANT DELETE ON {BACKUP} TO stella_reader": "DELETE to stella_reader",
    'REVOKE SELECT (title) ON advisory FROM "stella-console"': "SELECT (title) to stella-console",
    "REVOKE GRANT OPTION FOR SELECT ON advisory FROM stella_reader": "SELECT to stella_reader",
    "ALTER VIEW advisory OWNER TO CURRENT_USER": "the owner",
}


@pytest.mark.parametrize("change", PRIVILEGES)
def test_different_privileges_of_view_and_backup_are_a_warning(
    change: str, concelier_at_head: Database, aoc: Aoc
) -> None:
    """Privileges that view and backup do not share are a warning that names them."""
    concelier_at_head.run(change)

    ran = aoc.json("verify")

    assert (ran.exit_code, ran.slugs()) == (0, ["view-privileges"])
    assert PRIVILEGES[change] in ran.finding("view-privileges")["problem"]


def test_each_missing_right_has_its_grant(excititor: Database, aoc: Aoc) -> None:
    """A reader that lacks rights is given the GRANT for each; with these and no others verify is clean."""
    excititor.run("DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN PASSWORD 'looker'")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    url = {"EXCITITOR_DATABASE_URL": excititor.url_as("looker", "looker")}

    for _ in range(6):
        ran = aoc.json("verify", **url)
        if not ran.slugs():
            break
        assert (ran.exit_code, set(ran.slugs())) == (1, {"privileges"})
        for finding in ran.report["findings"]:
            excititor.run(finding["help"].removeprefix("Run: "))

    assert (ran.exit_code, ran.slugs()) == (0, [])
    assert not excititor.value(
        "SELECT has_table_privilege('looker', 'vex_raw', 'INSERT, UPDATE, DELETE, TRUNCATE')"
    )
