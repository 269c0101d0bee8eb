"""A rehearsal goes up, back and up again on a copy, and says whether the way back is exact."""

from typing import Any

import pytest

from aoc_migrate.sandbox.databases import create_legacy_advisory, create_raw_table
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.helpers import fill
from tests.partitions import partition
from tests.rehearsals import copy_of, facts, in_phase, rehearse, sample, words

PHASES = [
    "audit",
    "upgrade",
    "verify after upgrade",
    "downgrade",
    "second upgrade",
    "verify after second upgrade",
]


@pytest.fixture(params=["concelier", "excititor"])
def copy(request: pytest.FixtureRequest) -> Database:
    """A copy of each target in turn, before any revision, with chains that have no links."""
    chosen: Database = request.getfixturevalue(request.param)
    fill(chosen, 100)
    return chosen


def state(copy: Database) -> tuple[list[str], list[Any]]:
    """Return the catalog and every row, without the column that the first revision adds and keeps."""
    lines = [line for line in fingerprint(copy.connection) if ".supersedes |" not in line]
    return lines, copy.rows(f"SELECT to_jsonb(t) - 'supersedes' FROM {copy.table} AS t ORDER BY id")


@pytest.mark.alike
def test_the_way_back_is_exact(copy: Database, aoc: Aoc) -> None:
    """Upgrade, verify, downgrade and upgrade again: all phases pass, and nothing differs but what is kept."""
    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs("error")) == (0, []), ran.report["findings"]
    found = facts(ran)
    assert [phase["phase"] for phase in found["phases"]] == PHASES
    assert (found["from_revision"], found["to_revision"]) == ("base", ran.report["head"])
    assert (found["way_back"], found["compared_rows"] >= 100) == ("exact", True)
    assert f"column public.{copy.table}.supersedes" in found["kept"]
    assert "table public.aoc_migration_log" in found["kept"]
    assert ran.report["revision"] == ran.report["head"]
    assert ran.report["run"] == copy.value("SELECT max(run) FROM aoc_migration_log") == 3
    assert copy.value("SELECT to_regclass('aoc_rehearsal')") is None
    following = ran.report["next"]
    assert following["command"] == f"aoc-migrate plan {copy.target}"
    assert following["choices"] == [f"AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate upgrade {copy.target}"]


def test_the_verdict_is_on_the_first_line(copy: Database, aoc: Aoc) -> None:
    """The first line of the text says that the way back is exact."""
    ran = aoc(*words(copy), "--no-second-upgrade", **copy_of(copy))

    (verdict, *_) = ran.out.splitlines()
    assert verdict.startswith(f"PASSED rehearse {copy.target}: ")
    assert "; the way back is exact; changed; longest stall " in verdict


@pytest.mark.alike
def test_each_step_has_its_wal_and_growth(copy: Database, aoc: Aoc) -> None:
    """Each step has its phase, WAL and growth; a phase has no less WAL; the room needed covers the growth."""
    ran = rehearse(aoc, copy)

    steps = ran.report["steps"]
    built = [step for step in steps if step["statement"].startswith("CREATE UNIQUE INDEX")]
    assert [step["phase"] for step in built] == ["upgrade", "second upgrade"]
    assert all(step["wal_bytes"] > 0 for step in built)
    assert any(step["growth_bytes"] > 0 for step in built)  # autovacuum may shorten other files meanwhile
    assert sum(phase["growth_bytes"] for phase in facts(ran)["phases"]) <= facts(ran)["room_needed_bytes"]
    for phase in facts(ran)["phases"]:
        own = [step for step in steps if step["phase"] == phase["phase"]]
        assert phase["wal_bytes"] >= sum(step["wal_bytes"] for step in own)
        stalls = [round(step["held_ms"] + step["waited_ms"], 3) for step in own if "held_ms" in step]
        assert phase["longest_stall_ms"] == max(stalls, default=None)


def test_the_copy_may_stay_as_the_downgrade_left_it(copy: Database, aoc: Aoc) -> None:
    """Without the second upgrade, catalog and rows are those before, and a hold keeps them."""
    before = state(copy)

    ran = rehearse(aoc, copy, "--no-second-upgrade")

    assert (ran.exit_code, facts(ran)["way_back"]) == (0, "exact"), ran.report["findings"]
    assert [phase["phase"] for phase in facts(ran)["phases"]] == PHASES[:4]
    assert state(copy) == before
    assert copy.value("SELECT finished FROM aoc_migration_hold") is True


def test_a_copy_that_is_half_way_up_goes_back_to_there(copy: Database, aoc: Aoc) -> None:
    """Only what is pending is rehearsed, and the way back leads to where the copy was."""
    aoc.configure(copy)
    start = f"{copy.target}_0004"
    assert aoc("upgrade", copy.target, start).exit_code == 0
    aoc.environment.clear()

    ran = rehearse(aoc, copy, "--no-second-upgrade")

    assert (ran.exit_code, facts(ran)["from_revision"], ran.report["revision"]) == (0, start, start)
    assert facts(ran)["way_back"] == "exact"


def test_what_a_downgrade_did_not_restore_is_named(copy: Database, aoc: Aoc) -> None:
    """An object, a comment and rows that differ after the downgrade are an error, by object and count."""
    copy.run("CREATE TABLE public.victim (n integer); CREATE TABLE public.marked (n integer)")
    action = (
        "DROP TABLE IF EXISTS public.victim; COMMENT ON TABLE public.marked IS 'changed'; "
        f"UPDATE public.{copy.table} SET upstream = '{{\"secret\": \"cänary\"}}' WHERE id IN ('r1', 'r2', 'r3'); "
        f"DELETE FROM public.{copy.table} WHERE id = 'r7'"
    )
    with in_phase(copy, "downgrade", action, "'DROP FUNCTION'"):
        ran = rehearse(aoc, copy)

    assert (ran.exit_code, facts(ran)["way_back"]) == (4, "differs"), ran.err
    found = sample(ran)
    assert found["relation public.victim"]["change"] == "lacking"
    assert found["relation public.marked"]["change"] == "changed: comment"
    rows = [r for r in ran.finding("way-back-differs")["sample"] if r["object"] == f"rows of public.{copy.table}"]
    assert rows == [
        {"object": f"rows of public.{copy.table}", "change": "lacking", "at_least": 1},
        {"object": f"rows of public.{copy.table}", "change": "changed", "at_least": 3},
    ]
    assert "cänary" not in ran.out + ran.err
    assert ran.report["revision"] is None
    assert "second upgrade" not in [phase["phase"] for phase in facts(ran)["phases"]]
    assert "relation public.marked changed: comment; relation public.victim lacking;" in " ".join(ran.out.split())

    again = rehearse(aoc, copy)  # it compares with the state before the first upgrade

    assert (again.exit_code, facts(again)["way_back"]) == (4, "differs"), again.err
    assert sample(again).keys() == found.keys()


def test_findings_of_the_audit_stop_it(copy: Database, aoc: Aoc) -> None:
    """What the audit finds ends a rehearsal before anything changes."""
    copy.add("bad", tenant=None)
    before = fingerprint(copy.connection, without="^$")

    ran = rehearse(aoc, copy)

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (
        1,
        ["missing-required", "null-key"],
        False,
    )
    assert fingerprint(copy.connection, without="^$") == before
    assert ran.report["next"]["command"].startswith("AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate rehearse")


def test_a_rehearsal_may_lack_the_flag(copy: Database, aoc: Aoc) -> None:
    """Without the permission to write links, next is the same rehearsal with it."""
    ran = rehearse(aoc, copy, AOC_ALLOW_SUPERSEDES_RETROFIT="false")

    assert (ran.exit_code, ran.slugs("error")) == (1, ["retrofit-not-allowed"])
    expected = " ".join(["AOC_ALLOW_SUPERSEDES_RETROFIT=true aoc-migrate", *words(copy)])
    assert ran.report["next"]["command"] == expected


@pytest.mark.alike
def test_other_forms_show_it_too(copy: Database, aoc: Aoc) -> None:
    """The table, Markdown and HTML show the phases and the verdict on the way back."""
    for form in ("table", "markdown", "html"):
        ran = aoc(*words(copy, "--no-second-upgrade", "--format", form), **copy_of(copy))
        assert ran.exit_code == 0
        assert all(word in ran.out for word in ("way back", "exact", "downgrade", "WAL"))


def test_a_partitioned_copy_goes_up_and_back(excititor: Database, aoc: Aoc) -> None:
    """On a partitioned table, with a partition in another schema, the way back is exact too."""
    partition(excititor.connection, "vex_raw")
    for n, tenant in enumerate("aabbbbcc"):
        excititor.add(f"{n}", tenant=tenant, retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")

    ran = rehearse(aoc, excititor)

    assert (ran.exit_code, facts(ran)["way_back"]) == (0, "exact"), ran.report["findings"]
    assert "column cold.vex_raw_b.supersedes" in facts(ran)["kept"]
    sums = [step for step in ran.report["steps"] if "and its partitions" in step["statement"]]
    assert sums
    assert all(step["phase"] and step["wal_bytes"] > 0 for step in sums)


def test_a_copy_in_a_schema_of_any_name(empty_database: Database, aoc: Aoc) -> None:
    """The schema is the target's, whatever its name; a view and a foreign key elsewhere are compared too."""
    empty_database.run('CREATE SCHEMA "Vuln %s ""é"; SET search_path TO "Vuln %s ""é"')
    create_raw_table(empty_database.connection, "advisory_raw")
    create_legacy_advisory(empty_database.connection)
    empty_database.run("CREATE VIEW public.reader AS SELECT id FROM advisory")
    fill(empty_database, 10)

    ran = rehearse(aoc, empty_database, CONCELIER_DATABASE_SCHEMA='Vuln %s "é')

    assert (ran.exit_code, facts(ran)["way_back"]) == (0, "exact"), ran.report["findings"]
