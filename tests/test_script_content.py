"""The psql scripts: when they guard content, and that every way back takes this guard along."""

from collections.abc import Callable

import pytest

from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import before_backfill, psql
from tests.test_operator_scripts import APPLY

CONTENT = "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_content_v1' AND convalidated"


def test_content_is_guarded_where_no_row_needs_the_backfill(excititor: Database, aoc: Aoc) -> None:
    """Without rows for the backfill the constraints script guards content too; the upgrade goes on from there."""
    excititor.add("1")

    ran = psql(excititor, APPLY)

    assert ran.exit_code == 0, ran.err
    assert excititor.value(CONTENT) == 1
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0004"
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    assert aoc.json("verify", "--probe").slugs() == []
    assert psql(excititor, APPLY, "-v", "remove=1").exit_code == 0
    assert excititor.value(CONTENT) == 0


def by_command(excititor: Database, aoc: Aoc) -> None:
    """Go down to base."""
    assert aoc("downgrade", "excititor", "base").exit_code == 0


def by_plan(excititor: Database, aoc: Aoc) -> None:
    """Go down to base by the script for that."""
    planned = aoc("plan", "excititor", "excititor_0004:base", "--sql")
    assert planned.exit_code == 0, planned.err
    ran = psql(excititor, planned.out)
    assert ran.exit_code == 0, ran.err


def by_removal(excititor: Database, aoc: Aoc) -> None:
    """Remove the constraints, and go down from there."""
    assert aoc("constraints", "excititor", "--remove").exit_code == 0
    by_command(excititor, aoc)


def by_script(excititor: Database, aoc: Aoc) -> None:
    """Remove the constraints by the script that made them, and go down from there."""
    assert psql(excititor, APPLY, "-v", "remove=1").exit_code == 0
    assert excititor.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'vex_raw_%%_v1'") == 0
    by_command(excititor, aoc)


@pytest.mark.parametrize("way", [by_command, by_plan, by_removal, by_script], ids=lambda way: way.__name__)
def test_the_guard_of_content_goes_with_the_others(
    way: Callable[[Database, Aoc], None], excititor: Database, aoc: Aoc
) -> None:
    """Content that the constraints script guards below 0007 is unguarded by every way back, without a trace."""
    aoc.configure(excititor)
    assert psql(excititor, APPLY).exit_code == 0
    assert aoc("downgrade", "excititor", "base").exit_code == 0
    base = fingerprint(excititor.connection)
    assert psql(excititor, APPLY, "-v", "release_hold=1").exit_code == 0
    assert excititor.value(CONTENT) == 1

    way(excititor, aoc)

    assert excititor.value("SELECT count(*) FROM pg_proc WHERE proname LIKE 'vex_raw_%%_ok_v1'") == 0
    assert fingerprint(excititor.connection) == base


def test_content_waits_for_the_backfill(excititor: Database, aoc: Aoc) -> None:
    """Where rows need it, the last line says that content stays unguarded, and what guards it now."""
    before_backfill(excititor, aoc, {})

    ran = psql(excititor, APPLY)

    assert ran.exit_code == 0, ran.err
    assert excititor.value(CONTENT) == 0
    assert ran.out.splitlines()[-1] == (
        "content of vex_raw stays unguarded until head, after the backfill; -v content=1 adds its guard now"
    )
    again = psql(excititor, APPLY, "-v", "content=1")
    assert again.exit_code == 0, again.err
    assert excititor.value(CONTENT) == 1
    assert "unguarded" not in again.out


def test_bad_content_stops_before_anything_is_changed(excititor: Database) -> None:
    """A forbidden key in content is found by the same audit as everything else, where content will be guarded."""
    excititor.add("bad", content={"effective_status": "planted-secret"})
    before = fingerprint(excititor.connection, without="^$")

    ran = psql(excititor, APPLY)

    assert ran.exit_code == 3
    assert "1 rows of vex_raw break vex_raw_content_v1" in ran.err
    assert "planted-secret" not in ran.out + ran.err
    assert fingerprint(excititor.connection, without="^$") == before


def test_content_stays_guarded_at_head(excititor: Database, aoc: Aoc) -> None:
    """At head, a row whose link is missing does not make the script say that content is unguarded."""
    aoc.configure(excititor)
    for id_ in "12":
        excititor.add(id_, retrieved_at=f"2025-01-0{id_}T00:00:00Z", content_hash=f"sha256:{id_}")
    assert aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
    excititor.run("UPDATE vex_raw SET supersedes = NULL")

    ran = psql(excititor, APPLY)

    assert ran.exit_code == 0, ran.err
    assert "unguarded" not in ran.out
    assert excititor.value(CONTENT) == 1


def test_bad_content_at_head_is_audited_too(excititor: Database, aoc: Aoc) -> None:
    """At head, where content gets its guard back, its rows are audited before any constraint is put back."""
    aoc.configure(excititor)
    excititor.add("1")
    assert aoc("upgrade").exit_code == 0
    assert psql(excititor, APPLY, "-v", "remove=1").exit_code == 0
    excititor.add("2", content={"effective_status": "planted-secret"}, retrieved_at="2025-01-02T00:00:00Z")
    before = fingerprint(excititor.connection)

    ran = psql(excititor, APPLY, "-v", "release_hold=1")

    assert ran.exit_code == 3
    assert '1 rows of vex_raw break vex_raw_content_v1, for example id "2"' in ran.err
    assert fingerprint(excititor.connection) == before
