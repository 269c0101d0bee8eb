"""What quarantine keeps of a row is what the row was, whatever type its columns get later."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.helpers import restore_all
from tests.test_dedupe import ROWS

OWN = "ADD code char(5), ADD flags bit(4), ADD price numeric(5, 2), ADD span interval(0), ADD short varchar(4)"
VALUES = {"code": "ab", "flags": "1010", "price": "1.50", "span": "1.6 s", "short": "abcd"}


def rows(database: Database) -> list[Any]:
    """Return every row of the raw table, whole."""
    return database.rows(ROWS.format(database.table))


def duplicate(database: Database, *ids: str, **more: Any) -> None:
    """Store one document under each id."""
    for n, id_ in enumerate(ids):
        time = f"2025-01-01T00:00:0{n}.123456Z"
        database.add(id_, upstream_id=ids[0], content_hash="h", retrieved_at=time, **more)


def test_modifiers_are_not_kept(excititor: Database, aoc: Aoc) -> None:
    """A column that has got room for longer or finer values since keeps them on the way there and back."""
    excititor.run(f"ALTER TABLE vex_raw ALTER retrieved_at TYPE timestamptz(3), {OWN}")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", **VALUES)
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run(
        "ALTER TABLE vex_raw ALTER retrieved_at TYPE timestamptz, ALTER code TYPE char(7), "
        "ALTER price TYPE numeric(9, 4), ALTER span TYPE interval, ALTER short TYPE text"
    )
    excititor.run("ALTER TABLE vex_raw_quarantine ALTER short TYPE text")  # another type, not another modifier
    finer = {"code": "abcdefg", "flags": "0101", "price": "1.2345", "span": "1.234567 s", "short": "abcdefgh"}
    duplicate(excititor, "c", "d", **finer)
    before = [row for row in rows(excititor) if '"c"' in row[0] or '"d"' in row[0]]

    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    restore_all(excititor, aoc)

    assert [row for row in rows(excititor) if '"c"' in row[0] or '"d"' in row[0]] == before


def test_another_type_is_refused(excititor: Database, aoc: Aoc) -> None:
    """A column that has got another type since stops the next run, and what the finding says helps."""
    excititor.run("ALTER TABLE vex_raw ADD score real")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", score=0.1)
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run("ALTER TABLE vex_raw ALTER score TYPE float8")
    duplicate(excititor, "c", "d", score=0.1)
    before = rows(excititor)

    shown, ran = aoc.json("dedupe"), aoc.json("dedupe", "excititor", "--apply")

    assert (shown.slugs("error"), ran.slugs("error"), ran.exit_code) == (["type-changed"], ["type-changed"], 1)
    assert "as double precision, and its quarantine as real" in ran.finding("type-changed")["problem"]
    assert rows(excititor) == before
    excititor.run("ALTER TABLE vex_raw_quarantine ALTER score TYPE float8")
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    restore_all(excititor, aoc)
    assert rows(excititor)[2:] == before[1:]


def test_a_narrower_column_takes_nothing_back(excititor: Database, aoc: Aoc) -> None:
    """A column that would cut or round a saved value stops --restore, and what the finding says helps."""
    excititor.run("ALTER TABLE vex_raw ADD price numeric, ADD note varchar")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", price="1.2345", note="long")
    before = rows(excititor)
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run(
        "ALTER TABLE vex_raw ALTER price TYPE numeric(9, 2), ALTER note TYPE varchar(2) USING left(note, 2)"
    )

    ran = aoc.json("dedupe", "--restore", "--apply")

    found = [f for f in ran.report["findings"] if f["slug"] == "type-changed"]
    assert (ran.exit_code, ran.report["changed"], len(found)) == (1, False, 2)
    assert all("1 of the rows in quarantine would change" in f["problem"] for f in found)
    for each in found:
        excititor.run(each["help"].rpartition(": ")[2])
    assert aoc("dedupe", "--restore", "--apply").exit_code == 0
    assert rows(excititor)[1] == before[1]


GROWN = {
    "a required column with a default": "ADD region text NOT NULL DEFAULT 'eu'",
    "a rule about a new column": "ADD region text CHECK (region <> '')",
    "a rule about a generated column": "ADD big text GENERATED ALWAYS AS (id) STORED CHECK (big IS NOT NULL)",
}


@pytest.mark.parametrize("grown", GROWN)
def test_a_table_that_has_grown_takes_its_rows_back(grown: str, excititor: Database, aoc: Aoc) -> None:
    """What the raw table has got since, and computes by itself, stops no --restore."""
    aoc.configure(excititor)
    duplicate(excititor, "a", "b")
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run(f"ALTER TABLE vex_raw {GROWN[grown]}")

    ran = aoc.json("dedupe", "--restore", "--apply")

    assert (ran.exit_code, ran.slugs("error")) == (0, [])
    assert excititor.rows("SELECT id FROM vex_raw ORDER BY id") == [("a",), ("b",)]


def test_a_rule_that_is_not_enforced_refuses_nothing(excititor: Database, aoc: Aoc) -> None:
    """A CHECK that PostgreSQL 18 does not enforce stops neither a repair nor its way back."""
    column = "SELECT FROM pg_attribute WHERE attrelid = 'pg_constraint'::regclass AND attname = 'conenforced'"
    if not excititor.value(f"SELECT EXISTS ({column})"):
        pytest.skip("PostgreSQL enforces every CHECK until 17")
    excititor.run("ALTER TABLE vex_raw ADD CONSTRAINT hint CHECK (tenant <> 'x') NOT ENFORCED")
    aoc.configure(excititor)
    excititor.add("a", tenant="x", source_vendor=None)

    repaired = aoc.json("repair", "excititor", "--rule", "all", "--apply")
    restored = aoc.json("repair", "--restore", "--apply")

    assert (repaired.exit_code, repaired.slugs("error")) == (0, [])
    assert (restored.exit_code, restored.slugs("error")) == (0, [])


def test_a_rule_about_the_whole_row_stops_nothing(excititor: Database, aoc: Aoc) -> None:
    """A CHECK of the whole row, which only PostgreSQL can ask, stops no move, no repair and no way back."""
    excititor.run("ALTER TABLE vex_raw ADD CHECK (vex_raw IS NOT NULL OR id <> '')")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b")
    excititor.add("c", tenant=None)
    before = rows(excititor)

    for words in (("dedupe", "excititor"), ("repair", "excititor", "--rule", "all")):
        assert aoc(*words, "--apply").exit_code == 0
    restore_all(excititor, aoc)

    assert rows(excititor) == before


@pytest.mark.parametrize("text", [r'{"a": "\\u0000"}', '{"a": 1e200000}', '{"a": 1, "a": 2}'], ids=str)
def test_text_of_the_type_json_is_only_text(text: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """A json column may hold what jsonb cannot: rows with it move, come back, and are exported as they are."""
    excititor.run("ALTER TABLE vex_raw ADD raw_text json")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", raw_text=text)
    before = excititor.rows("SELECT id, raw_text::text FROM vex_raw ORDER BY id")

    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    assert aoc("quarantine", "excititor", "--export", str(tmp_path / "rows")).exit_code == 0
    (line,) = (tmp_path / "rows").read_text(encoding="utf-8").splitlines()
    restore_all(excititor, aoc)

    assert json.loads(line)["raw_text"] == text
    assert excititor.rows("SELECT id, raw_text::text FROM vex_raw ORDER BY id") == before


@pytest.mark.parametrize("using", ["note::int", "NULL"])
def test_another_type_takes_nothing_back(using: str, excititor: Database, aoc: Aoc) -> None:
    """A column that has got another type stops --restore before it tries to put anything back."""
    excititor.run("ALTER TABLE vex_raw ADD note text")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", note="12")
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run(f"ALTER TABLE vex_raw ALTER note TYPE int USING {using}")

    ran = aoc.json("dedupe", "--restore", "--apply")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["type-changed"], False)


def test_a_value_that_does_not_fit_is_a_finding(excititor: Database, aoc: Aoc) -> None:
    """A value that PostgreSQL could not even cast is a finding too."""
    excititor.run("ALTER TABLE vex_raw ADD price numeric")
    aoc.configure(excititor)
    duplicate(excititor, "a", "b", price="12345.6")
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run("UPDATE vex_raw SET price = 1; ALTER TABLE vex_raw ALTER price TYPE numeric(5, 2)")

    ran = aoc.json("dedupe", "--restore", "--apply")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["type-changed"], False)


def test_a_required_column_is_a_finding(excititor: Database, aoc: Aoc) -> None:
    """A column that has come since, is required and has no default stops --restore; with a default it goes on."""
    aoc.configure(excititor)
    duplicate(excititor, "a", "b")
    assert aoc("dedupe", "excititor", "--apply").exit_code == 0
    excititor.run("ALTER TABLE vex_raw ADD region text; UPDATE vex_raw SET region = 'eu'")
    excititor.run("ALTER TABLE vex_raw ALTER region SET NOT NULL")

    ran = aoc.json("dedupe", "--restore", "--apply")

    assert (ran.exit_code, ran.slugs("error"), ran.report["changed"]) == (1, ["column-required"], False)
    excititor.run("ALTER TABLE vex_raw ALTER region SET DEFAULT 'eu'")
    assert aoc("dedupe", "--restore", "--apply").exit_code == 0
