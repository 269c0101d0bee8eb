"""The locks that `plan` and docs/operations.md name are those that PostgreSQL shows while a run holds them."""

import re
from typing import Any

import psycopg
import pytest

from aoc_migrate.database.relation import Schema
from aoc_migrate.operations.step import CONCURRENTLY, Lock, Step, title
from aoc_migrate.revisions.graph import history
from aoc_migrate.revisions.revision_sql import collect
from aoc_migrate.sandbox.databases import RAW_TABLES
from tests.conftest import ROOT, Aoc, Database
from tests.faults.scenarios import fill
from tests.lock_trace import MODES, Seen, seen, strongest, traced

pytestmark = pytest.mark.every_postgres

MODE = {
    "-": "",
    "rows": "RowExclusiveLock",
    "SHARE UPDATE EXCLUSIVE": "ShareUpdateExclusiveLock",
    "ACCESS EXCLUSIVE on the index": "ShareUpdateExclusiveLock",
    "SHARE": "ShareLock",
    "ACCESS EXCLUSIVE": "AccessExclusiveLock",
}
"""How tables are locked, by what a plan says."""
WORDS = {"rows": "rows", "weak": "SHARE UPDATE EXCLUSIVE", "strong": "ACCESS EXCLUSIVE"}
"""The words of docs/operations.md."""
BACKUP = "advisory_backup_20251028"
Line = dict[str, Any]


@pytest.fixture(params=["concelier", "excititor", "excititor in partitions"])
def raw(request: pytest.FixtureRequest, empty_database: Database, aoc: Aoc, retrofit: dict[str, str]) -> Database:
    """A raw table before the contract that gives every Step something to do, even ADD COLUMN.

    A plan does not know yet that it could attach a partition's own index, so there is none.
    """
    target, _, parted = request.param.partition(" ")
    found = Database(empty_database.connection, RAW_TABLES[target], target)
    fill(found.connection, found.table, 20, parted=bool(parted))
    found.run(f"ALTER TABLE {found.table} DROP COLUMN supersedes; DROP INDEX IF EXISTS own")
    aoc.configure(found)
    patient = {"AOC_MAX_STALL": "10s"}  # tracing takes time while the locks are held
    aoc.environment |= retrofit | patient | {"AOC_GUARD_ENABLED": "false"}
    return found


def plain(sql: str) -> str:
    """Return a statement without its parameters, which a plan numbers differently, and on one line."""
    return re.sub(r"(\$\d|\s)+", " ", sql).strip()


def traced_run(raw: Database, aoc: Aoc, verb: str, revision: str) -> tuple[list[Line], list[Seen]]:
    """Plan a command, run it, and return the lines of the plan, and what each statement of the run locked."""
    lines: list[Line] = aoc.json("plan", raw.target, revision).report["facts"]["plan"]
    with traced(raw) as (trace, url):
        ran = aoc(verb, raw.target, revision, **{f"{raw.target.upper()}_DATABASE_URL": url})
    assert ran.exit_code == 0, ran.out + ran.err
    return lines, trace.seen


def wrong(lines: list[Line], run: list[Seen]) -> list[str]:
    """Return where lines of a plan and the locks of its run differ.

    Each line has the lock that its statements have. A transaction has no stronger lock than its lines say; without
    any line, it writes rows at most, except that lines without SQL do not say which transactions are theirs.
    """
    most = {one.transaction: "RowExclusiveLock" for one in run}
    unknown = [MODE[line["lock"]] for line in lines if not line["sql"]]
    problems = []
    for line in (line for line in lines if line["sql"]):
        statements = {plain(sql) for sql in line["sql"]}
        mine = [one for one in run if plain(one.sql) in statements]
        table, index = strongest(one.table for one in mine), strongest(one.index for one in mine)
        if line["statement"].startswith("ATTACH") and line["lock"] == "ACCESS EXCLUSIVE":
            table = MODE[line["lock"]]  # some versions let go of the table above before the statement ends
        on_index = index == "AccessExclusiveLock" and line["lock"] != "ACCESS EXCLUSIVE"
        if not mine or table != MODE[line["lock"]] or on_index != ("on the index" in line["lock"]):
            problems.append(f"{line['statement']}: {line['lock']}, but {table} and {index} on indexes")
        for one in mine:
            most[one.transaction] = strongest([most[one.transaction], table])
    for one in run:
        if MODES.index(one.table) > MODES.index(strongest([most[one.transaction], *unknown])):
            problems.append(f"not in the plan: {one}")
    return problems


def documented() -> dict[tuple[str, str], tuple[str, list[str]]]:
    """Return the table and the locks that docs/operations.md has for each revision of concelier and each verb."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(concelier_\d+)` [\w ]+ \| `(\w+)` \| (.+) \| (.+) \|$", page)
    return {
        (revision, verb): (table, [WORDS[word] for word in re.findall(r"(\w+):", cell)])
        for revision, table, *cells in rows
        for verb, cell in zip(["upgrade", "downgrade"], cells, strict=True)
    }


@pytest.mark.alike
def test_plan_and_page_name_the_locks_of_a_run(raw: Database, aoc: Aoc) -> None:
    """Up and down, each step has the lock that the plan says, no other has one, and the page says the same.

    What partitions add is only in the plan.
    """
    page, target = documented(), raw.target
    for verb, goal in (("upgrade", "head"), ("downgrade", "base")):
        lines, statements = traced_run(raw, aoc, verb, goal)
        assert wrong(lines, statements) == []
        if raw.value("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", [raw.table]):
            continue
        for revision in history(target):
            table, locks = page[revision.id.replace(target, "concelier"), verb]
            said = dict.fromkeys(line["lock"] for line in lines if line["revision"] == revision.id)
            assert [lock for lock in said if lock != "-"] == locks, revision.id
            sql = {plain(sql) for line in lines if line["revision"] == revision.id for sql in line["sql"]}
            locked = {name for one in statements if plain(one.sql) in sql for name in one.tables}
            assert locked - {BACKUP} == ({table.replace("advisory_raw", raw.table)} if locks else set())


@pytest.mark.parametrize("raw", ["concelier"], indirect=True)
def test_a_strong_lock_is_one_that_the_statements_take_themselves(raw: Database) -> None:
    """Without our LOCK TABLE, the statements of a step with the strong lock take it too: none is for nothing."""
    revisions = history(raw.target)
    for function, some in (("upgrade", revisions), ("downgrade", revisions[::-1])):
        for revision in some:
            for group in collect(revision, function, Schema("public"), None):
                steps = [step for step in group if raw.value(f"SELECT {step.needed}")]
                if any(step.kind in CONCURRENTLY for step in steps):
                    raw.run(steps[0].sql[0])
                    continue
                locked = locked_by(raw, steps)
                strong = [step for step in steps if step.lock is Lock.ACCESS_EXCLUSIVE]
                assert not strong or locked == "AccessExclusiveLock", title(strong)


def locked_by(raw: Database, steps: list[Step]) -> str:
    """Run Steps in one transaction, and return the strongest lock that a table then has."""
    with raw.connection.transaction():
        for sql in (sql for step in steps for sql in step.sql):
            raw.run(sql)
        return seen(raw.connection, [raw.connection.info.backend_pid], "", 0).table


def test_the_last_attached_index_of_a_level_locks_the_table_above(empty_database: Database) -> None:
    """Where partitions have partitions, ATTACH waits for whoever reads the table above: the plan says so."""
    fill(empty_database.connection, "vex_raw", 1, parted=True)
    for table, name in (("ONLY vex_raw", "top"), ("ONLY vex_raw_below", "middle"), ("vex_raw_all", "leaf")):
        empty_database.run(f"CREATE INDEX {name} ON {table} (tenant)")
    empty_database.run(
        "CREATE INDEX careful ON vex_raw_careful (tenant); ALTER INDEX top ATTACH PARTITION careful"
    )
    empty_database.run("ALTER INDEX top ATTACH PARTITION middle; SET lock_timeout = '100ms'")
    with psycopg.connect(empty_database.url) as reader:
        reader.execute("LOCK TABLE ONLY vex_raw IN ACCESS SHARE MODE")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            empty_database.run("ALTER INDEX middle ATTACH PARTITION leaf")
