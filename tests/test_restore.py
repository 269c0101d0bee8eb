"""`--restore` takes back one run, the latest first, and loses no value on the way."""

import signal

import psycopg
import pytest

from tests.conftest import Aoc, Database
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

    ran = aoc.json("dedupe", "--restore")

    found = ran.finding("column-gone")
    assert (ran.exit_code, ran.report["changed"], found["rows"]) == (1, False, 2)
    assert '("a note": 2, size: 1)' in found["problem"]
    assert "1 %s" not in ran.out + ran.err
    assert (annotated.rows(KEPT.format(table)), dump(annotated)) == (kept, between)
    annotated.run(found["help"].partition(": ")[2].partition(";")[0])
    assert aoc("dedupe", "--restore").exit_code == 0
    notes = f'SELECT id, "a note", size::text FROM {table} WHERE "a note" IS NOT NULL ORDER BY id'
    assert annotated.rows(notes) == [("d1", "1 %s", "1.50"), ("d2", "", None)]


def test_only_lost_values_stop_a_restore(annotated: Database, aoc: Aoc) -> None:
    """Saved NULLs in a vanished column stop no --restore, nor do values of a repaired row that no repair wrote."""
    annotated.run(f'ALTER TABLE {annotated.table} DROP "a note", DROP size')
    annotated.run(f"UPDATE {annotated.table}_quarantine SET \"a note\" = NULL, size = NULL WHERE id <> 'r'")

    assert [aoc(command, "--restore").exit_code for command in ("dedupe", "repair")] == [0, 0]

    assert annotated.value(f"SELECT count(*) FROM {annotated.table}_quarantine") == 0


def test_a_renamed_column_is_renamed_in_quarantine(annotated: Database, aoc: Aoc) -> None:
    """A column that was renamed, or is generated now, takes no saved value until it is renamed in quarantine."""
    table = annotated.table
    annotated.run(f"UPDATE {table}_quarantine SET size = NULL")
    annotated.run(f'ALTER TABLE {table} RENAME "a note" TO remark')
    assert aoc.json("dedupe", "--restore").slugs("error") == ["column-gone"]
    annotated.run(f"ALTER TABLE {table} ADD \"a note\" text GENERATED ALWAYS AS ('x') STORED")
    said = aoc.json("dedupe", "--restore").finding("column-gone")["help"]

    annotated.run(
        next(part for part in said.split(": ") if "RENAME" in part).partition(";")[0].replace("new_name", "remark")
    )

    assert aoc("dedupe", "--restore").exit_code == 0
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
    assert aoc("dedupe", "--restore").exit_code == 0
    assert dump(excititor) == before
