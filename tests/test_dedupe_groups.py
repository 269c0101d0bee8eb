"""Which groups `dedupe` moves, which row of each stays, and what it does while others write to these rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.forks import Process
from tests.helpers import dump, wait_until
from tests.test_work_concurrent import WAITING


def group(database: Database, name: str, *rows: dict[str, Any]) -> None:
    """Add rows with one key, NAME0 the earliest."""
    for n, values in enumerate(rows):
        usual = {"upstream_id": name, "content_hash": "h", "retrieved_at": f"2025-01-0{n + 1}T00:00:00Z"}
        database.add(f"{name}{n}", **(usual | values))


def moved(database: Database) -> list[str]:
    """Return the ids in quarantine."""
    return [id_ for (id_,) in database.rows(f"SELECT id FROM {database.table}_quarantine ORDER BY id")]


@pytest.fixture
def mixed(excititor: Database, aoc: Aoc) -> Database:
    """Two groups of equal rows, and two groups in which one row of three differs from another."""
    aoc.configure(excititor)
    other = {"linkset": {"aliases": ["canary"]}}
    group(excititor, "equal", {}, {}, {"upstream": {"fetched_at": "later"}})
    group(excititor, "list", {"upstream": ["fetched_at"]}, {"upstream": ["fetched_at"]})
    group(excititor, "last", {}, {}, other)
    group(excititor, "first", other, {}, {})
    return excititor


def test_equal_groups_move_although_others_differ(mixed: Database, aoc: Aoc) -> None:
    """Groups of equal rows move; a group with a row that differs stays whole and is listed, at exit 1."""
    shown = aoc.json("dedupe")
    ran = aoc.json(*shown.report["next"]["choices"][0].split()[1:])

    assert (shown.exit_code, ran.exit_code, ran.report["changed"]) == (1, 1, True)
    assert moved(mixed) == ["equal1", "equal2", "list1"]
    assert ran.report["facts"]["moved"] == 3
    for report in (shown, ran):
        finding = report.finding("duplicates-differ")
        assert (finding["count"], finding["rows"]) == (2, 4)
        listed = [("first1", "first0", "linkset"), ("first2", "first0", "linkset"), ("last2", "last0", "linkset")]
        assert mixed.rows(finding["statement"]) == [tuple(row.values()) for row in finding["sample"]] == listed
        assert "canary" not in report.out + report.err
    assert aoc.json("history").report["facts"]["runs"][0]["outcome"] == "done"
    assert ran.report["next"]["command"] == "aoc-migrate dedupe excititor --include-different"
    again = aoc.json(*ran.report["next"]["command"].split()[1:])
    assert (again.exit_code, again.slugs(), again.report["facts"]["surplus"]) == (0, [], 4)


def test_nothing_moves_where_all_groups_differ(mixed: Database, aoc: Aoc) -> None:
    """If only groups whose rows differ are left, --apply changes nothing and says what would move them."""
    assert aoc("dedupe", "--apply").exit_code == 1
    before = dump(mixed)

    for words in ([], ["--apply"]):
        ran = aoc.json("dedupe", "--keep", "latest", *words)

        assert (ran.exit_code, ran.slugs(), ran.report["changed"]) == (1, ["duplicates-differ"], False)
        assert ran.report["next"]["command"] == "aoc-migrate dedupe excititor --keep latest --include-different"
    assert dump(mixed) == before


def test_the_rest_of_an_interrupted_run_reports_what_differs(mixed: Database, aoc: Aoc) -> None:
    """A run that goes on from its list reports the groups that stay as well."""
    with locked(mixed, "SELECT FROM vex_raw WHERE id = 'equal1' FOR UPDATE"):
        process = deduping(mixed, aoc)
        process.terminate()
        process.communicate()

    ran = aoc.json("dedupe", "--apply")

    assert (ran.exit_code, ran.report["facts"]["resumed"], ran.slugs()) == (1, 3, ["duplicates-differ"])


@pytest.mark.parametrize(("keep", "stays"), [("earliest", "a0"), ("latest", "a1")])
def test_a_row_without_a_time_is_neither_earliest_nor_latest(
    keep: str, stays: str, excititor: Database, aoc: Aoc
) -> None:
    """A row without retrieved_at stays only in a group where no row has one; there, it is the first id."""
    aoc.configure(excititor)
    group(excititor, "a", {}, {}, {"retrieved_at": None})
    group(excititor, "b", {"retrieved_at": None}, {"retrieved_at": None})

    assert aoc("dedupe", "--keep", keep, "--apply").exit_code == 0

    assert excititor.rows("SELECT id FROM vex_raw ORDER BY id") == [(stays,), ("b0",)]


@contextmanager
def locked(database: Database, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """Run a statement in a session of its own and leave its transaction open; it is committed at the end."""
    with psycopg.connect(database.url) as other:
        other.execute(statement.encode())
        yield other


def deduping(database: Database, aoc: Aoc, *words: str) -> Process:
    """Start `dedupe --apply` and wait until its batch waits for a row."""
    process = aoc.start("dedupe", "--apply", *words)
    wait_until(lambda: database.value(WAITING) == 1)
    return process


@pytest.mark.parametrize("words", [(), ("--include-different",)], ids=["equal", "different"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_last_row_of_a_group_is_never_moved(
    end: str, words: tuple[str, ...], excititor: Database, aoc: Aoc
) -> None:
    """While others delete the row that stays, the batch waits: the rest moves only if that row is not deleted."""
    aoc.configure(excititor)
    group(excititor, "a", {}, {})
    with locked(excititor, "DELETE FROM vex_raw WHERE id = 'a0'") as other:
        process = deduping(excititor, aoc, *words)
        assert excititor.value("SELECT count(*) FROM vex_raw_quarantine") == 0
        getattr(other, end)()
    process.communicate()

    left = {"commit": ([("a1",)], []), "rollback": ([("a0",)], ["a1"])}[end]
    assert (process.returncode, (excititor.rows("SELECT id FROM vex_raw"), moved(excititor))) == (0, left)


def test_the_row_that_stays_can_be_read_and_updated(excititor: Database, aoc: Aoc) -> None:
    """A batch waits for nobody who has a foreign key to the row that stays, or changes its other columns."""
    aoc.configure(excititor)
    group(excititor, "a", {}, {})
    with locked(excititor, "UPDATE vex_raw SET identifiers = '{}' WHERE id = 'a0'"):
        assert aoc("dedupe", "--apply").exit_code == 0

    assert moved(excititor) == ["a1"]


@pytest.mark.parametrize(("words", "moves"), [((), []), (("--include-different",), ["a1"])])
def test_a_row_that_differs_in_the_meantime_stays(
    words: tuple[str, ...], moves: list[str], excititor: Database, aoc: Aoc
) -> None:
    """If others change a listed row while its batch waits for it, it is compared again, and moves on request."""
    aoc.configure(excititor)
    group(excititor, "a", {}, {})
    with locked(excititor, "UPDATE vex_raw SET linkset = '{\"aliases\": []}' WHERE id = 'a1'"):
        process = deduping(excititor, aoc, *words)
    process.communicate()

    assert moved(excititor) == moves
