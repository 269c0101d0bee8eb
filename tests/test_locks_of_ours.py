"""Our own tables are read and written only under a lock, so that nobody puts others in their place meanwhile."""

import re
from collections import defaultdict
from pathlib import Path

from aoc_migrate.sandbox.databases import create_raw_table
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.logged import logged

STATEMENT = re.compile(r"^<(\d+)> LOG:  (?:statement|execute [^:]*): (.*?)(?=\n<|\Z)", re.MULTILINE | re.DOTALL)
USE = re.compile(r'\b(INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (?:"public"|public)\."?(aoc_\w+)"?')
WRITES = ("INSERT INTO", "UPDATE", "DELETE FROM")


def test_every_use_of_our_tables_is_locked(tmp_path: Path, aoc: Aoc) -> None:
    """Whatever reads or writes a table of ours on the way up and down has locked it in the same transaction."""
    with logged(tmp_path, log_statement="all", log_line_prefix="<%p> ") as (database, log):
        create_raw_table(database.connection, "advisory_raw")
        database.run("CREATE TABLE advisory (id text)")
        concelier = Database(database.connection, "advisory_raw", "concelier")
        fill(concelier, 50)
        aoc.configure(concelier)
        begun = log.stat().st_size
        assert aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
        assert aoc("downgrade", "base").exit_code == 0
        written = log.read_bytes()[begun:].decode()

    locked, used, unlocked = defaultdict[str, set[tuple[str, bool]]](set), set[tuple[str, bool]](), []
    for pid, sql in STATEMENT.findall(written):
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            locked[pid] = set()
        elif sql.startswith("LOCK TABLE"):
            modes = {False, "ROW EXCLUSIVE" in sql}
            locked[pid] |= {(name, writes) for name in re.findall(r"aoc_\w+", sql) for writes in modes}
        else:
            uses = {(name, verb in WRITES) for verb, name in USE.findall(sql)}
            used |= uses
            unlocked += [sql] if uses - locked[pid] else []
    assert unlocked == []
    assert {(table, True) for table in ("aoc_migration_state", "aoc_migration_hold", "aoc_migration_log")} <= used
