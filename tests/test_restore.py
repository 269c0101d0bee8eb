"""`--restore` takes back one run, the latest first, and loses no value on the way."""

import signal

import psycopg
import pytest

from tests.conftest import Aoc, Database, Ran
from tests.helpers import dump, wait_until
from tests.test_work_concurrent import WAITING

KEPT = 'SELECT id, "a note", size FROM {}_quarantine ORDER BY id'


@pytest.fixture
def annotated(target_with_chain: Database, aoc: Aoc) -> Database:
    """Each target with two moved duplicates and a repaired row, in a table with columns of the operator's own."""
    table = target_with_chain.table
    target_with_chain.run(f'ALTER TABLE {table} ADD "a note" text, ADD size numeric(5, 2)')
    for n, own in enumerate([{}, {"a note": "1 %s", "size": "1.50"}, {"a note": ""}, {}]):
        time = f"2025-02-0{n + 1}T00:00:00Z"
        target_with_chain.add(f"d{n}", upstream_id="D", content_hash="h", retrieved_at=time, **own)
    target_with_chain.add("r", upstream_id="R", source_vendor="", size="1.50")
    assert aoc("repair", target_with_chain.target, "--rule", "all", "--apply").exit_code == 0
    assert aoc("dedupe", target_with_chain.target, "--include-different", "--apply").exit_code == 0
    assert len(target_with_chain.rows(KEPT.format(table))) == 4
    return target_with_chain


def test_a_value_without_a_column_stays_in_quarantine(annotated: Database, aoc: Aoc) -> None:
    """A saved value whose column is gone stops --restore, which names column and count; what it says helps."""
    table, kept = annotated.table, annotated.rows(KEPT.format(annotated.table))
    annotated.run(f'ALTER TABLE {table} DROP "a note", DROP size')
    between = dump(annotated)

    ran = aoc.json("dedupe", "--restore", "--apply")

    found = ran.finding("column-gone")
    assert (ran.exit_code, ran.report["changed"], found["rows"]) == (1, False, 2)
    assert '("a note": 2, size: 1)' in found["problem"]
    assert "1 %s" not in ran.out + ran.err
    assert (annotated.rows(KEPT.format(table)), dump(annotated)) == (kept, between)
    annotated.run(found["help"].partition(": ")[2].partition(";")[0])
    assert aoc("dedupe", "--restore", "--apply").exit_code == 0
    notes = f'SELECT id, "a note", size::text FROM {table} WHERE "a note" IS NOT NULL ORDER BY id'
    assert annotated.rows(notes) == [("d1", "1 %s", "1.50"), ("d2", "", None)]


def test_only_lost_values_stop_a_restore(annotated: Database, aoc: Aoc) -> None:
    """Saved NULLs in a vanished column stop no --restore, nor do values of a repaired row that no repair wrote."""
    annotated.run(f'ALTER TABLE {annotated.table} DROP "a note", DROP size')
    annotated.run(f"UPDATE {annotated.table}_quarantine SET \"a note\" = NULL, size = NULL WHERE id <> 'r'")

    assert [aoc(command, "--restore", "--apply").exit_code for command in ("dedupe", "repair")] == [0, 0]

    assert annotated.value(f"SELECT count(*) FROM {annotated.table}_quarantine") == 0


def test_a_renamed_column_is_renamed_in_quarantine(annotated: Database, aoc: Aoc) -> None:
    """A column that was renamed, or is generated now, takes no saved value until it is renamed in quarantine."""
    table = annotated.table
    annotated.run(f"UPDATE {table}_quarantine SET size = NULL")
    annotated.run(f'ALTER TABLE {table} RENAME "a note" TO remark')
    assert aoc.json("dedupe", "--restore", "--apply").slugs("error") == ["column-gone"]
    annotated.run(f"ALTER TABLE {table} ADD \"a note\" text GENERATED ALWAYS AS ('x') STORED")
    said = aoc.json("dedupe", "--restore", "--apply").finding("column-gone")["help"]

    annotated.run(
        next(part for part in said.split(": ") if "RENAME" in part).partition(";")[0].replace("new_name", "remark")
    )

    assert aoc("dedupe", "--restore", "--apply").exit_code == 0
    assert annotated.rows(f"SELECT id FROM {table} WHERE remark <> '' ORDER BY id") == [("d1",)]


def test_the_rest_of_a_list_keeps_new_columns(excititor: Database, aoc: Aoc) -> None:
    """If the table gets a column before an interrupted run goes on, its values move with the rest of the rows."""
    aoc.configure(excititor)
    for n in range(3):
        excititor.add(f"{n}", content_hash="h", retrieved_at=f"2025-02-0{n + 1}T00:00:00Z")
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw WHERE id = '1' FOR UPDATE")
        process = aoc.start("dedupe", "--apply")
        wait_until(lambda: excititor.value(WAITING) == 1)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    excititor.run("ALTER TABLE vex_raw ADD note text")
    excititor.run("UPDATE vex_raw SET note = 'n'")
    before = dump(excititor)

    ran = aoc.json("dedupe", "--apply")

    assert (ran.exit_code, ran.report["facts"]["resumed"]) == (0, 2)
    assert excititor.rows("SELECT id, note FROM vex_raw_quarantine ORDER BY id") == [("1", "n"), ("2", "n")]
    assert aoc("dedupe", "--restore", "--apply").exit_code == 0
    assert dump(excititor) == before


def changed_while_it_waits(database: Database, aoc: Aoc, locked: str, change: str, *words: str) -> Ran:
    """Start a command that meets a locked row, change the table, and let it go on; return what it says."""
    with psycopg.connect(database.url) as other:
        other.execute(locked.encode())
        process = aoc.start(*words, "--format", "json")
        wait_until(lambda: database.value(WAITING) == 1)
        other.execute(change.encode())
    return Ran(process.wait(), *process.communicate())


def test_columns_may_come_and_go_while_rows_move(excititor: Database, aoc: Aoc) -> None:
    """No row moves without a column that others just added, nor back without one that they just dropped."""
    aoc.configure(excititor)
    for n in range(2):
        excititor.add(f"{n}", content_hash="h", retrieved_at=f"2025-02-0{n + 1}T00:00:00Z")
    row, added = "SELECT FROM vex_raw WHERE id = '1' FOR UPDATE", "ALTER TABLE vex_raw ADD note text DEFAULT 'n'"
    kept, noted = row.replace("vex_raw", "vex_raw_quarantine"), "SELECT id, note FROM vex_raw_quarantine"

    ran = changed_while_it_waits(excititor, aoc, row, added, "dedupe", "--apply")
    assert (ran.exit_code, ran.slugs("error")) == (4, ["rows-lost"])
    assert excititor.rows("SELECT id, note FROM vex_raw ORDER BY id") == [("0", "n"), ("1", "n")]
    assert aoc("dedupe", "--apply").exit_code == 0
    assert excititor.rows(noted) == [("1", "n")]

    dropped = "ALTER TABLE vex_raw DROP note"
    ran = changed_while_it_waits(excititor, aoc, kept, dropped, "dedupe", "--restore", "--apply")
    assert (ran.exit_code, ran.slugs("error")) == (4, ["step-failed"])
    assert aoc.json("dedupe", "--restore", "--apply").slugs("error") == ["column-gone"]
    assert (excititor.rows(noted), excititor.rows("SELECT id FROM vex_raw")) == ([("1", "n")], [("0",)])


GOOD = {"source": {"vendor": "osv"}, "upstream": {"upstream_id": "CVE-1", "content_hash": "sha256:1"}}
RUNS = {
    1: ("repair", {"b": "repaired", "x": "moved"}),
    2: ("dedupe", {"b": "moved"}),
    3: ("repair", {"c": "repaired"}),
}


@pytest.fixture
def three_runs(target_with_chain: Database, aoc: Aoc) -> list[str]:
    """Each target after `repair`, `dedupe` and `repair`, with the dump before each; two touched one row."""
    database, states = target_with_chain, list[str]()
    database.add("a", **GOOD, content_hash="sha256:1", upstream_id="CVE-1", retrieved_at="2025-01-01T00:00:00Z")
    database.add("b", **GOOD, content_hash="", upstream_id="CVE-1", retrieved_at="2025-01-02T00:00:00Z")
    database.add("x", tenant=None)
    database.add("c", source={"severity": 1}, upstream_id="CVE-3")
    for words in (
        ["repair", "--rule=blank-key", "--rule=null-key"],
        ["dedupe"],
        ["repair", "--rule=forbidden-key"],
    ):
        states.append(dump(database))
        assert aoc(words[0], database.target, *words[1:], "--apply").exit_code == 0
    return states


def quarantined(database: Database) -> dict[int, dict[str, str]]:
    """Return the ids in quarantine, and what became of each, by run."""
    found: dict[int, dict[str, str]] = {}
    for run, id_, repaired in database.rows(
        f"SELECT quarantine_run, id, quarantine_repaired IS NOT NULL FROM {database.table}_quarantine"
    ):
        found.setdefault(run, {})[id_] = "repaired" if repaired else "moved"
    return found


@pytest.mark.alike
@pytest.mark.parametrize("command", ["repair", "dedupe"])
def test_restore_alone_takes_back_the_latest_run(
    command: str, three_runs: list[str], target_with_chain: Database, aoc: Aoc
) -> None:
    """--restore of either command shows the latest run in quarantine; with --apply, it takes back that run."""
    target, left = target_with_chain.target, dict(RUNS)
    for run in (3, 2, 1):
        before = dump(target_with_chain)

        shown = aoc.json(command, target, "--restore")

        made, rows = RUNS[run]
        assert (shown.exit_code, shown.report["changed"], dump(target_with_chain)) == (0, False, before)
        assert shown.report["facts"] == {
            "restores_run": run,
            "restores_command": made,
            "restores_rows": len(rows),
            "other_runs": run - 1,
        }
        assert shown.report["next"]["choices"] == [f"aoc-migrate {made} {target} --restore --run {run} --apply"]

        done = aoc.json(command, target, "--restore", "--apply")

        del left[run]
        assert (done.exit_code, done.report["facts"]["restored"]) == (0, len(rows))
        assert quarantined(target_with_chain) == {number: kept for number, (_, kept) in left.items()}
        assert dump(target_with_chain) == three_runs[run - 1]
    empty = aoc(command, target, "--restore")
    assert (empty.exit_code, "is empty" in empty.err) == (2, True)


@pytest.mark.alike
@pytest.mark.parametrize("apply", [(), ("--apply",)], ids=["shown", "applied"])
def test_each_refusal_names_the_run_to_restore_first(
    apply: tuple[str, ...], three_runs: list[str], target_with_chain: Database, aoc: Aoc
) -> None:
    """While a later run is in quarantine, an earlier one is refused; following the refusals restores them all."""
    target, refused = target_with_chain.target, []
    while (ran := aoc.json("dedupe", target, "--restore", "--run", "1", *apply)).exit_code:
        assert (ran.slugs("error"), ran.report["changed"]) == (["newer-run-first"], False)
        said = ran.finding("newer-run-first")["help"].partition("Run first: aoc-migrate ")[2]
        refused.append(said)
        assert aoc(*said.split()).exit_code == 0

    assert refused == [f"{RUNS[run][0]} {target} --restore --run {run} --apply" for run in (3, 2)]
    assert aoc("dedupe", target, "--restore", "--run", "1", "--apply").exit_code == (2 if apply else 0)
    assert dump(target_with_chain) == three_runs[0]
    assert aoc("repair", target, "--restore", "--run", "7").err == (
        f"aoc-migrate: The quarantine of {target} has no rows of run 7. "
        f"See its runs: aoc-migrate quarantine {target}\n"
    )
