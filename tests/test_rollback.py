"""A downgrade depends on nothing that it does not touch, and reports what it changed."""

import psycopg
import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.copies import made_once
from tests.helpers import psql

APPLY = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")


@pytest.fixture
def excititor_at_head(request: pytest.FixtureRequest, excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database at head, with a row."""
    excititor.add("1")
    aoc.configure(excititor)
    made_once(request, excititor, lambda: aoc("upgrade"))
    return excititor


def test_a_dropped_column_does_not_stop_the_downgrade(excititor_at_head: Database, aoc: Aoc) -> None:
    """If its cost cannot be estimated, the downgrade continues without an estimate."""
    excititor_at_head.run("ALTER TABLE vex_raw DROP COLUMN content")

    ran = aoc.json("downgrade", "base")

    assert (ran.exit_code, ran.report["revision"]) == (0, None)
    assert "no estimates: column" in ran.err


def test_a_hold_is_a_change(excititor_at_head: Database, aoc: Aoc) -> None:
    """A hold that is written or released is a change, even if no statement ran for it."""
    excititor_at_head.run("DELETE FROM vex_raw")
    assert aoc("downgrade", "base").exit_code == 0
    released = aoc.json("upgrade", "excititor", "base", "--release-hold")
    held = aoc.json("downgrade", "base")
    stopped = aoc.json("upgrade")

    assert [ran.report["changed"] for ran in (released, held, stopped)] == [True, True, False]
    assert [ran.report["steps"] for ran in (released, held)] == [[], []]


@pytest.mark.parametrize("words", ["chain", "chain --apply", "verify", "upgrade", "dedupe", "repair"])
def test_every_command_reports_a_missing_raw_table(words: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """Without the raw table every command says that it is missing, and asks nobody to try again."""
    excititor_at_head.run("DROP TABLE vex_raw")

    ran = aoc.json(*words.split())

    assert (ran.exit_code, ran.slugs("error")) == (1, ["table-missing"])
    assert "it was dropped or is somewhere else" in ran.finding("table-missing")["help"]


def test_a_role_without_our_tables_is_refused_first(excititor_at_head: Database, aoc: Aoc) -> None:
    """A role that owns the raw table but not our tables is refused before anything is done."""
    excititor_at_head.run("DROP ROLE IF EXISTS second; CREATE ROLE second LOGIN PASSWORD 's'")
    excititor_at_head.run("ALTER TABLE vex_raw OWNER TO second; GRANT ALL ON SCHEMA public TO second")
    excititor_at_head.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO second")
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor_at_head.url_as("second", "s")
    try:
        ran = aoc.json("downgrade", "-1")
    finally:
        excititor_at_head.run("REASSIGN OWNED BY second TO CURRENT_USER; DROP OWNED BY second; DROP ROLE second")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["privileges"], False)
    assert "alter public.aoc_alembic_version" in ran.finding("privileges")["problem"]
    assert "or run: GRANT " in ran.finding("privileges")["help"]


def test_a_tenant_without_rows_is_reported(excititor_at_head: Database, aoc: Aoc) -> None:
    """A tenant without rows, which may be mistyped, is not an error of verify, but is reported."""
    ran = [aoc.json("verify", "--tenant", tenant) for tenant in ("default", "defualt")]

    assert [(r.exit_code, r.slugs()) for r in ran] == [(0, []), (0, ["tenant-without-rows"])]


def test_an_ascii_terminal_gets_the_report(excititor_at_head: Database, aoc: Aoc) -> None:
    """A terminal that cannot show every character still gets the report."""
    excititor_at_head.run('CREATE VIEW "\u2026" AS SELECT vex_raw_content_ok_v1(content) FROM vex_raw')
    process = aoc.spawn("downgrade", "base", PYTHONIOENCODING="iso-8859-1")
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "\\u2026" in out


def test_a_downgrade_drops_the_function_of_a_dropped_rule(excititor_at_head: Database, aoc: Aoc) -> None:
    """A downgrade leaves no function of ours behind, even where somebody dropped the constraint that called it."""
    functions = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'vex_raw_%_ok_v1'"
    assert excititor_at_head.value(functions) == 3
    excititor_at_head.run("ALTER TABLE vex_raw DROP CONSTRAINT vex_raw_objects_v1")

    ran = aoc.json("downgrade", "base")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert excititor_at_head.value(functions) == 0


def test_a_hold_is_as_old_as_the_last_downgrade(excititor_at_head: Database, aoc: Aoc) -> None:
    """A second downgrade under a hold makes it its own, with its time."""
    begun = []
    for _ in range(2):
        assert aoc("downgrade", "-1").exit_code == 0
        begun.append(excititor_at_head.value("SELECT held_at FROM aoc_migration_hold"))

    assert begun[0] < begun[1]


def test_nobody_is_sent_into_a_hold(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Under a hold, status and a clean audit offer the upgrade that ends it, and no command that does nothing."""
    target = target_with_chain.target
    assert aoc("upgrade", target, **retrofit).exit_code == 0
    assert aoc("downgrade", target, "-1").exit_code == 0

    for command in ("status", "audit", "constraints"):
        following = aoc.json(command, target, **retrofit).report["next"]
        assert (following["command"], following["choices"]) == (
            "",
            [f"aoc-migrate upgrade {target} --release-hold"],
        )


def bookkeeping(database: Database) -> object:
    """What our own tables hold: the run, the hold and the facts, where there are any."""
    tables = ("aoc_migration_log", "aoc_migration_hold", "aoc_migration_state")
    there = [t for t in tables if database.value("SELECT to_regclass(%s) IS NOT NULL", [t])]
    return {table: database.rows(f"SELECT * FROM {table} ORDER BY 1") for table in there}


@pytest.mark.parametrize("at", ["base", "excititor_0001"])
def test_nothing_to_remove_leaves_no_hold(at: str, excititor: Database, aoc: Aoc) -> None:
    """Where no constraint of ours is there, removing them changes nothing, so an upgrade goes on as before."""
    aoc.configure(excititor)
    assert aoc("upgrade", at).exit_code == 0
    before = bookkeeping(excititor)

    ran = aoc.json("constraints", "--remove")
    by_script = psql(excititor, APPLY, "-v", "remove=1", "-v", "ON_ERROR_STOP=1")

    assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (0, [], False)
    assert "There is nothing to remove" in ran.report["next"]["note"]
    assert (by_script.exit_code, "excititor has nothing to remove" in by_script.out) == (0, True), by_script.err
    assert bookkeeping(excititor) == before
    assert aoc.json("upgrade").report["revision"] == "excititor_0007"


@pytest.mark.alike
@pytest.mark.parametrize("copy", ["", "CREATE TABLE aside (LIKE vex_raw INCLUDING ALL)"], ids=["alone", "copy"])
def test_a_second_removal_changes_nothing(copy: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """Once the constraints are removed, both ways keep the first hold, and the functions of a copy."""
    if copy:
        excititor_at_head.run(copy)
    assert aoc("constraints", "--remove").exit_code == 0
    before = bookkeeping(excititor_at_head)

    again = aoc.json("constraints", "--remove")
    by_script = psql(excititor_at_head, APPLY, "-v", "remove=1", "-v", "ON_ERROR_STOP=1")

    assert (again.exit_code, again.slugs(), again.report["changed"]) == (0, ["held"], False)
    assert again.report["next"]["choices"] == ["aoc-migrate upgrade excititor --release-hold"]
    assert by_script.exit_code == 0, by_script.err
    assert bookkeeping(excititor_at_head) == before


@pytest.mark.parametrize("by", ["command", "script"])
def test_a_removal_that_was_interrupted_last_is_finished(by: str, excititor_at_head: Database, aoc: Aoc) -> None:
    """If everything is removed but the hold is unfinished, the same command finishes it."""
    assert aoc("constraints", "--remove").exit_code == 0
    excititor_at_head.run("UPDATE aoc_migration_hold SET finished = false")

    if by == "command":
        assert aoc("constraints", "--remove").exit_code == 0
    else:
        assert psql(excititor_at_head, APPLY, "-v", "remove=1").exit_code == 0

    assert excititor_at_head.value("SELECT finished FROM aoc_migration_hold") is True


@pytest.mark.parametrize("way", [("downgrade", "base"), ("constraints", "--remove")], ids="_".join)
@pytest.mark.parametrize("planted", [False, True])
def test_a_rule_without_its_function_stops_no_rollback(
    planted: bool, way: tuple[str, ...], excititor_at_head: Database, aoc: Aoc
) -> None:
    """Where somebody dropped a rule with its function, a rollback goes through, and calls no other of its name."""
    role = f"stranger_{excititor_at_head.connection.info.backend_pid}"
    body = "plpgsql IMMUTABLE AS $$ BEGIN RAISE 'it ran'; END $$"
    arguments = excititor_at_head.value("SELECT 'vex_raw_objects_ok_v1'::regproc::regprocedure::text")
    excititor_at_head.run(f"DROP FUNCTION {arguments} CASCADE")
    if planted:
        excititor_at_head.run(f"CREATE FUNCTION {arguments} RETURNS boolean LANGUAGE {body}; CREATE ROLE {role}")
        excititor_at_head.run(f"ALTER FUNCTION {arguments} OWNER TO {role}")

    ran = aoc.json(*way)

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    left = excititor_at_head.rows("SELECT conname FROM pg_constraint WHERE conname LIKE 'vex_raw_%_v1'")
    assert [name for (name,) in left if "content" not in name] == []
    if planted:
        excititor_at_head.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_database_that_was_never_upgraded_may_go_down(excititor: Database, aoc: Aoc) -> None:
    """Before any upgrade, a downgrade to base has nothing to undo, and keeps pods from upgrading."""
    aoc.configure(excititor)

    ran = aoc.json("downgrade", "excititor", "base")

    assert (ran.exit_code, ran.slugs(), ran.report["steps"]) == (0, ["held"], [])


def test_the_record_of_a_step_that_never_began_is_forgotten(excititor: Database, aoc: Aoc) -> None:
    """A downgrade also forgets what an upgrade found that went no further, so an index made since is not ours."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0003").exit_code == 0
    with psycopg.connect(excititor.url) as other:
        other.execute("LOCK TABLE vex_raw IN SHARE UPDATE EXCLUSIVE MODE")
        assert aoc("upgrade", "--deadline", "1s").exit_code == 3
    assert aoc("downgrade", "base").exit_code == 0
    key = "(tenant, source_vendor, upstream_id, content_hash)"
    excititor.run(f"CREATE UNIQUE INDEX vex_raw_idempotency_v1 ON vex_raw {key}")

    assert aoc("upgrade", "--release-hold").exit_code == 0
    assert aoc("downgrade", "base").exit_code == 0

    assert excititor.value("SELECT to_regclass('vex_raw_idempotency_v1') IS NOT NULL")
