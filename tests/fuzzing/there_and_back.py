"""Rows there and back through every command, against oracles in Python."""

from typing import Any

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from tests.adversary import Row, faults
from tests.conftest import Aoc, Database
from tests.fingerprint import fingerprint
from tests.fuzzing.dirty_rows import CLEAN, ROW, links, plain, repaired, surplus, tables
from tests.fuzzing.place import Place, commands, legacy, passes
from tests.helpers import dump

KEPT = "^aoc_|_quarantine"
KEEP = st.sampled_from(["earliest", "latest"])
LATE = tables(CLEAN.map(lambda row: row | {"id": f"late {row['id']}", "content_hash": f"late {row['id']}"}), 4)
EXAMPLES = st.tuples(tables(ROW, 7), KEEP, LATE) | st.tuples(tables(CLEAN, 14), KEEP, LATE)


def insert(database: Database, row: Row) -> None:
    """Insert a row as it is."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(database.table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )
    database.run(statement, list(row.values()))


def refused(database: Database, row: Row) -> bool:
    """Return whether the table refuses a row; it is not stored."""
    try:
        with database.connection.transaction(force_rollback=True):
            database.run(f"DELETE FROM {database.table}")  # no row is refused as a duplicate
            insert(database, row)
    except psycopg.errors.IntegrityError:
        return True
    return False


def stored(database: Database, names: list[str]) -> dict[str, Row]:
    """Return the rows of the raw table by id, in the shape of the drawn ones."""
    listed = ", ".join(f"{name}::text" for name in names)
    found = [dict(zip(names, row, strict=True)) for row in database.rows(f"SELECT {listed} FROM {database.table}")]
    return {row["id"]: row for row in found}


def check(place: Place, example: tuple[list[Row], str, list[Row]]) -> None:
    """Any rows come clean, linked and guarded, and every step of it goes back exactly."""
    rows, keep, late = example
    with place.clone("excititor", "legacy excititor", legacy) as database:
        aoc = commands(database)
        for row in rows:
            insert(database, row)
        there_and_back(database, aoc, rows, keep, late)


def there_and_back(database: Database, aoc: Aoc, rows: list[Row], keep: str, late: list[Row]) -> None:
    """Repair, dedupe, upgrade, store late rows, link them; back to base without them; restore all."""
    before, shape = dump(database), fingerprint(database.connection, without=KEPT)
    clean = not any(map(faults, rows)) and not surplus(rows, keep)
    audited = aoc.json("audit")
    assert audited.exit_code == (0 if clean else 1), audited.out
    assert dump(database) == before

    left = cleaned(database, aoc, rows, keep)
    upgraded(database, aoc, left["rows"], rows)
    for row in late:
        insert(database, row)
    passes(aoc, "chain", "excititor", "--apply")
    assert linked(database) == links([*left["rows"].values(), *late])
    removed(database, aoc, rows)

    passes(aoc, "downgrade", "excititor", "base")
    assert linked(database) == left["links"] | {row["id"]: row["supersedes"] for row in late}
    database.run("DELETE FROM vex_raw WHERE id LIKE 'late %'")
    assert dump(database) == left["dump"]
    assert fingerprint(database.connection, without=KEPT) == shape
    while database.value("SELECT to_regclass('vex_raw_quarantine') IS NOT NULL") and database.value(
        "SELECT EXISTS (SELECT FROM vex_raw_quarantine)"
    ):
        passes(aoc, "repair", "excititor", "--restore", "--apply")
    assert dump(database) == before


def cleaned(database: Database, aoc: Aoc, rows: list[Row], keep: str) -> dict[str, Any]:
    """Repair and dedupe; each row is where it must be. Return what stays: ``rows``, ``links`` and ``dump``."""
    names = list(rows[0])
    times = {id_: row["retrieved_at"] for id_, row in stored(database, names).items()}
    passes(aoc, "repair", "excititor", "--rule", "all", "--apply")
    wanted = {row["id"]: new for row in rows if (new := repaired(row)) is not None}
    same(stored(database, names), wanted, times)

    passes(aoc, "dedupe", "excititor", "--keep", keep, "--include-different", "--apply")
    for id_ in surplus(wanted.values(), keep):
        del wanted[id_]
    found = stored(database, names)
    same(found, wanted, times)
    gone = {row["id"] for row in rows} - set(found)
    assert not [row for row in found.values() if row["supersedes"] in gone]
    moved: list[tuple[str]] = []
    if database.value("SELECT to_regclass('vex_raw_quarantine')"):
        moved = database.rows("SELECT id FROM vex_raw_quarantine WHERE quarantine_repaired IS NULL")
    assert sorted(id_ for (id_,) in moved) == sorted(gone)
    passes(aoc, "audit")
    return {
        "rows": wanted,
        "links": {id_: row["supersedes"] for id_, row in found.items()},
        "dump": dump(database),
    }


def same(found: dict[str, Row], wanted: dict[str, Row], times: dict[str, str]) -> None:
    """Check that rows are those that are wanted, and that no time changed."""
    assert {id_: plain(row) for id_, row in found.items()} == {id_: plain(row) for id_, row in wanted.items()}
    assert {id_: row["retrieved_at"] for id_, row in found.items()} == {id_: times[id_] for id_ in found}


def upgraded(database: Database, aoc: Aoc, left: dict[str, Row], drawn: list[Row]) -> None:
    """Upgrade: the links are those of the oracle, and the table refuses exactly the rows that break a rule."""
    passes(aoc, "upgrade")
    wanted = links(left.values())
    assert linked(database) == wanted
    passes(aoc, "verify")
    for row in drawn:
        assert refused(database, row) == bool(faults(row)), row
    passes(aoc, "chain", "excititor", "--apply")
    assert linked(database) == wanted


def linked(database: Database) -> dict[str, str | None]:
    """Return the link of each row."""
    return dict(database.rows("SELECT id, supersedes FROM vex_raw"))


def removed(database: Database, aoc: Aoc, rows: list[Row]) -> None:
    """Remove the constraints: every row is let in. Put them back."""
    passes(aoc, "constraints", "excititor", "--remove")
    assert not any(refused(database, row) for row in rows)
    passes(aoc, "upgrade", "excititor", "--release-hold")
    passes(aoc, "verify")
