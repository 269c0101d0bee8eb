"""The contract after dump and restore, in copies of the table and in a partition."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from aoc_migrate.sandbox.server import find_binaries
from tests.adversary import GOOD
from tests.conftest import ROOT, Aoc, Database
from tests.partitions import partition
from tests.test_predicates import insert, rejected

pytestmark = pytest.mark.every_postgres

BAD = {
    "blank": GOOD | {"tenant": "\u3000"},
    "key": GOOD | {"source": '{"cvss": 1}'},
    "document": GOOD | {"content": "[]"},
}
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
FUNCTIONS = PAGE.partition("<<'END'\n")[2].partition("\nEND\n")[0].replace("advisory_raw", "vex_raw")


def run(*words: str, feed: str | None = None) -> str:
    """Run a program of PostgreSQL's and return what it printed; it must succeed."""
    ran = subprocess.run(
        [str(find_binaries() / words[0]), *words[1:]],
        input=feed,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PG")},
        check=False,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def psql(database: Database, script: str, *words: str) -> str:
    """Run a script with psql in one database; the first error ends it."""
    return run("psql", database.url, "-XqAt", "-v", "ON_ERROR_STOP=1", *words, feed=script)


@pytest.fixture
def excititor_at_head(excititor: Database, aoc: Aoc) -> Database:
    """Excititor's database at head, with two rows of a chain."""
    aoc.configure(excititor)
    insert(excititor, GOOD | {"id": "1"})
    insert(excititor, GOOD | {"id": "2", "content_hash": "2", "retrieved_at": "2025-01-02T00:00:00Z"})
    ran = aoc("upgrade", AOC_ALLOW_SUPERSEDES_RETROFIT="true")
    assert ran.exit_code == 0, ran.out
    return excititor


@pytest.fixture
def second_database(excititor: Database) -> Iterator[Database]:
    """An empty database on the same server."""
    name = sql.Identifier(f"other_{excititor.connection.info.backend_pid}")
    excititor.run(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    connection = psycopg.connect(
        excititor.url.rpartition("/")[0] + f"/{name.as_string(None)[1:-1]}", autocommit=True
    )
    yield Database(connection, "vex_raw", "excititor")
    connection.close()
    excititor.run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def holds(database: Database, aoc: Aoc) -> None:
    """Check that verify is clean, good rows are stored, and the rules refuse bad ones."""
    aoc.configure(database)
    ran = aoc.json("verify", "--probe")
    assert (ran.exit_code, ran.slugs("error")) == (0, []), ran.out
    for n, row in enumerate(BAD.values()):
        with pytest.raises(psycopg.errors.CheckViolation):
            insert(database, row | {"id": f"bad {n}"})
    insert(database, GOOD | {"id": "new", "content_hash": "new"})
    database.run(f"DELETE FROM {database.table} WHERE id = 'new'")


@pytest.mark.alike
@pytest.mark.parametrize(
    "options", [[], ["-x"], ["--no-owner"], ["-x", "--no-owner", "--quote-all-identifiers"]], ids=str
)
def test_a_whole_dump_restores_the_contract(
    options: list[str], excititor_at_head: Database, second_database: Database, aoc: Aoc
) -> None:
    """A whole dump, with or without rights and owners, brings everything along; another superuser restores it."""
    role = f"restorer_{excititor_at_head.connection.info.backend_pid}"
    excititor_at_head.run(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'p'")
    try:
        script = run("pg_dump", excititor_at_head.url, *options)
        run("psql", second_database.url_as(role, "p"), "-Xq", "-v", "ON_ERROR_STOP=1", feed=script)

        assert second_database.value("SELECT count(*) FROM vex_raw WHERE supersedes = '1'") == 1
        holds(second_database, aoc)
    finally:
        second_database.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        excititor_at_head.run(f"DROP ROLE {role}")


def test_one_table_is_restored_after_its_functions(
    excititor_at_head: Database, second_database: Database, aoc: Aoc
) -> None:
    """`pg_dump -t` leaves the functions out and cannot be restored; after the functions' own text it can."""
    tables = run("pg_dump", excititor_at_head.url, "-t", "vex_raw", "-t", "aoc_*")
    with pytest.raises(AssertionError, match=r"vex_raw_\w+_ok_v1.* does not exist"):
        psql(second_database, tables, "-1")

    psql(second_database, run("psql", excititor_at_head.url, "-XAtc", FUNCTIONS) + tables)

    holds(second_database, aoc)


def test_one_table_is_restored_from_a_whole_dump(
    excititor_at_head: Database, second_database: Database, aoc: Aoc, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a whole dump lists under our names, functions and all, is enough to restore the table from it."""
    folder = tmp_path_factory.mktemp("dump")
    excititor_at_head.run("CREATE TABLE unrelated (n int)")
    run("pg_dump", "-Fc", excititor_at_head.url, "-f", f"{folder}/all.dump")
    listed = run("pg_restore", "-l", f"{folder}/all.dump").splitlines()
    ours = [line for line in listed if " vex_raw" in line or " aoc_" in line]
    (folder / "ours").write_text("\n".join(ours) + "\n")

    run("pg_restore", "-L", f"{folder}/ours", "--exit-on-error", "-d", second_database.url, f"{folder}/all.dump")

    assert second_database.value("SELECT to_regclass('unrelated')") is None
    holds(second_database, aoc)


@pytest.mark.parametrize("way", [("downgrade", "base"), ("constraints", "--remove")], ids=" ".join)
def test_a_copy_keeps_the_functions(way: tuple[str, ...], excititor_at_head: Database, aoc: Aoc) -> None:
    """What a table made LIKE ours uses stays, is reported and guards that table on; the next upgrade is clean."""
    excititor_at_head.run("CREATE TABLE aside (LIKE vex_raw INCLUDING ALL)")

    ran = aoc.json(*way)

    assert ran.exit_code == 0, ran.out + ran.err
    kept = [f["subject"] for f in ran.report["findings"] if f["slug"] == "function-kept"]
    assert sorted(kept) == ["vex_raw_content_ok_v1", "vex_raw_keys_ok_v1", "vex_raw_objects_ok_v1"]
    aside = Database(excititor_at_head.connection, "aside", "excititor")
    assert [rejected(aside, row) for row in BAD.values()] == [True] * len(BAD)
    assert aoc("upgrade", "--release-hold", AOC_ALLOW_SUPERSEDES_RETROFIT="true").exit_code == 0
    holds(excititor_at_head, aoc)
    excititor_at_head.run("DROP TABLE aside")
    assert "function-kept" not in aoc.json(*way).slugs()
    assert excititor_at_head.value("SELECT count(*) FROM pg_proc WHERE proname ~ '_ok_v1$'") == 0


def test_a_copy_becomes_a_partition(excititor: Database, aoc: Aoc) -> None:
    """A table made LIKE a partitioned one becomes its partition; verify stays clean, and so do down and up."""
    partition(excititor.connection, "vex_raw")
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run("CREATE TABLE vex_raw_new (LIKE vex_raw INCLUDING ALL)")
    insert(Database(excititor.connection, "vex_raw_new", "excititor"), GOOD | {"tenant": "n"})

    excititor.run("ALTER TABLE vex_raw ATTACH PARTITION vex_raw_new FOR VALUES IN ('n')")

    assert aoc.json("verify", "--probe").slugs("error") == []
    for row in BAD.values():
        assert rejected(excititor, row | {"tenant": row["tenant"].replace("a tenant", "n"), "id": "bad"})
    assert aoc("downgrade", "base").exit_code == 0
    assert excititor.value("SELECT count(*) FROM pg_proc WHERE proname ~ '_ok_v1$'") == 0
    assert aoc("upgrade", "--release-hold").exit_code == 0
    assert aoc.json("verify", "--probe").slugs("error") == []


def test_stock_alembic_says_what_stays(excititor_at_head: Database, aoc: Aoc) -> None:
    """`alembic downgrade` says on stderr which functions it has kept, and for whom."""
    excititor_at_head.run("CREATE TABLE aside (LIKE vex_raw INCLUDING ALL)")
    command = [sys.executable, "-m", "alembic", "-n", "excititor", "downgrade", "excititor_0006"]

    ran = subprocess.run(command, cwd=ROOT, env=aoc.env(), capture_output=True, check=True, text=True)

    assert (
        "excititor: The function vex_raw_content_ok_v1 was not dropped: something else uses it (constraint "
        in ran.stderr
    )
