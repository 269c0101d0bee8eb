"""Our own tables are read and written only under a lock, so that nobody puts others in their place meanwhile."""

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from aoc_migrate.sandbox.databases import create_raw_table
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.logged import logged
from tests.rehearsals import rehearse

STATEMENT = re.compile(r"^<(\d+)> LOG:  (?:statement|execute [^:]*): (.*?)(?=\n<|\Z)", re.MULTILINE | re.DOTALL)
USE = re.compile(r'\b(INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (?:"public"|public)\."?(aoc_\w+)"?')
MADE = re.compile(r'CREATE TABLE "public"\."(aoc_\w+)"')
WRITES = ("INSERT INTO", "UPDATE", "DELETE FROM")


def go_up_and_down(aoc: Aoc, concelier: Database) -> set[str]:
    """Upgrade, set links once more, and go down."""
    for words in (("upgrade",), ("chain", "--apply"), ("downgrade", "base")):
        assert aoc(*words, AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
    return {"aoc_migration_state", "aoc_migration_hold", "aoc_migration_log"}


def move_rows_and_back(aoc: Aoc, concelier: Database) -> set[str]:
    """Move rows into quarantine, and restore them."""
    for id_ in ("one", "two"):
        concelier.add(id_, upstream_id="twice", content_hash="h", retrieved_at="2025-03-03T00:00:00Z")
    concelier.add("nobody", tenant=None)
    for words in (("repair", "--rule", "all"), ("dedupe",), ("dedupe", "--restore"), ("repair", "--restore")):
        ran = aoc(words[0], "concelier", *words[1:], "--apply")
        assert ran.exit_code == 0, ran.out
    return {"aoc_work_list"}


def go_there_and_back(aoc: Aoc, concelier: Database) -> set[str]:
    """Rehearse."""
    aoc.environment.clear()
    ran = rehearse(aoc, concelier)
    assert ran.exit_code == 0, ran.out
    return {"aoc_rehearsal"}


@pytest.mark.alike
@pytest.mark.parametrize("work", [go_up_and_down, move_rows_and_back, go_there_and_back])
def test_every_use_of_our_tables_is_locked(
    work: Callable[[Aoc, Database], set[str]], tmp_path: Path, aoc: Aoc
) -> None:
    """Whatever reads or writes a table of ours has locked or made it in the same transaction."""
    with logged(tmp_path, log_statement="all", log_line_prefix="<%p> ") as (database, log):
        create_raw_table(database.connection, "advisory_raw")
        database.run("CREATE TABLE advisory (id text)")
        concelier = Database(database.connection, "advisory_raw", "concelier")
        fill(concelier, 50)
        aoc.configure(concelier)
        begun = log.stat().st_size
        written_by_us = work(aoc, concelier)
        written = log.read_bytes()[begun:].decode()

    locked, used, unlocked = defaultdict[str, set[tuple[str, bool]]](set), set[tuple[str, bool]](), []
    for pid, sql in STATEMENT.findall(written):
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            locked[pid] = set()
        elif sql.startswith("LOCK TABLE"):
            modes = {False, "ROW EXCLUSIVE" in sql}
            locked[pid] |= {(name, writes) for name in re.findall(r"aoc_\w+", sql) for writes in modes}
        elif made := MADE.match(sql):
            locked[pid] |= {(made[1], False), (made[1], True)}
        else:
            uses = {(name, verb in WRITES) for verb, name in USE.findall(sql)}
            used |= uses
            unlocked += [sql] if uses - locked[pid] else []
    assert unlocked == []
    assert {(table, True) for table in written_by_us} <= used
