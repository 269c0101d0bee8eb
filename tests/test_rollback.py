"""A downgrade depends on nothing that it does not touch, and reports what it changed."""

import pytest

from tests.conftest import Aoc, Database


@pytest.fixture
def excititor_at_head(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database at head, with a row."""
    excititor.add("1")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
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
    """Without the raw table every command says that it is missing, and suggests nothing that would not help."""
    excititor_at_head.run("DROP TABLE vex_raw")

    ran = aoc.json(*words.split())

    assert (ran.exit_code, ran.slugs("error")) == (3, ["table-missing"])
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
    process = aoc.start("downgrade", "base", PYTHONIOENCODING="iso-8859-1")
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
