"""Any role that may connect may hold the run lock: a waiting run names it, and how to end it."""

from collections.abc import Iterator

import psycopg
import pytest

from aoc_migrate.database.runner_lock import lock_key
from tests.conftest import Aoc, Database, Ran
from tests.helpers import psql
from tests.test_plan_script import script

KEY = lock_key("excititor", "public")


@pytest.fixture
def stranger_url(excititor: Database) -> Iterator[str]:
    """The URL of a role that may connect, and nothing else."""
    role = f"stran'ger_{excititor.connection.info.backend_pid}"
    excititor.run(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 's'")
    yield excititor.url_as(role, "s")
    excititor.run(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def refused(aoc: Aoc, database: Database) -> Ran:
    """Return an upgrade that did not get the lock."""
    aoc.configure(database)
    ran = aoc.json("upgrade", "--lock-wait", "300ms")
    assert (ran.exit_code, ran.slugs()) == (3, ["lock-held"])
    return ran


def test_a_strangers_session_is_named_and_can_be_ended(excititor: Database, aoc: Aoc, stranger_url: str) -> None:
    """A stranger's session is named with its role and its name in quotes; the statement printed ends it."""
    hostile = "ok'; DROP TABLE x; --"
    with psycopg.connect(stranger_url, autocommit=True, application_name=hostile) as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [KEY])
        pid = other.info.backend_pid
        ran = refused(aoc, excititor)
        found = ran.finding("lock-held")
        statement = f"SELECT pg_terminate_backend({pid});"

        assert f"pid {pid}, {hostile!r}, role {other.info.user!r}, connected for" in found["problem"]
        assert "does not say it is aoc-migrate" in found["problem"]
        assert statement in found["help"]
        assert f"waiting for another run (pid {pid}, " in ran.err
        assert f"pid {pid}, " in aoc.json("status").report["facts"]["lock"]
        excititor.run(statement)
        assert aoc("upgrade").exit_code == 0


def test_another_run_is_named_as_one(excititor: Database, aoc: Aoc) -> None:
    """A session that calls itself aoc-migrate is said to do so."""
    with psycopg.connect(excititor.url, autocommit=True, application_name="aoc-migrate upgrade @pod") as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [KEY])

        problem = refused(aoc, excititor).finding("lock-held")["problem"]

    assert "'aoc-migrate upgrade @pod'" in problem
    assert ", says it is aoc-migrate" in problem


def test_each_holder_is_named_and_ended(excititor: Database, aoc: Aoc) -> None:
    """Where several sessions share the lock each is named, and each is ended."""
    with psycopg.connect(excititor.url) as one, psycopg.connect(excititor.url) as two:
        for each in (one, two):
            each.execute("SELECT pg_advisory_lock_shared(%s::bigint)", [KEY])

        text = refused(aoc, excititor).finding("lock-held")["help"]

        assert all(f"SELECT pg_terminate_backend({each.info.backend_pid});" in text for each in (one, two))


@pytest.mark.parametrize("name", ["it's left", "\x1b[2J\\'\x07é"])
def test_a_prepared_transaction_is_named_and_can_be_ended(
    name: str, excititor: Database, aoc: Aoc, stranger_url: str
) -> None:
    """A prepared transaction holds it without a session; it is named, and what is printed ends it."""
    with psycopg.connect(stranger_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [KEY])
        role = other.info.user
        other.execute(psycopg.sql.SQL("PREPARE TRANSACTION {}").format(psycopg.sql.Literal(name)))
    try:
        found = refused(aoc, excititor).finding("lock-held")
        statement = found["help"].partition("To end it: ")[2]

        assert f"prepared transaction {name!r} of role {role!r}" in found["problem"]
        assert statement.startswith("ROLLBACK PREPARED ")
        assert statement.isprintable()
        assert psql(excititor, statement).exit_code == 0
        assert excititor.value("SELECT count(*) FROM pg_prepared_xacts WHERE gid = %s", [name]) == 0
    finally:
        for (left,) in excititor.rows("SELECT gid FROM pg_prepared_xacts WHERE gid = %s", [name]):
            excititor.run(psycopg.sql.SQL("ROLLBACK PREPARED {}").format(psycopg.sql.Literal(left)))
    assert aoc("upgrade").exit_code == 0


def test_hidden_facts_are_reported_as_hidden(excititor: Database, aoc: Aoc, stranger_url: str) -> None:
    """What pg_stat_activity hides from this role is said to be hidden, and not left out."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = stranger_url
    excititor.run("SELECT pg_advisory_lock(%s::bigint)", [KEY])

    shown = aoc.json("status").report["facts"]["lock"]

    assert f"pid {excititor.connection.info.backend_pid}, " in shown
    assert "this role may not see since when (pg_read_all_stats may)" in shown


def test_a_waiting_script_names_the_holder(excititor: Database, stranger_url: str) -> None:
    """A psql script that waits says the same."""
    printed = script("excititor", "base:head", "--lock-wait", "1s")
    with psycopg.connect(stranger_url, autocommit=True, application_name="ok'; --") as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [KEY])

        ran = psql(excititor, printed)

        for line in [line for line in ran.err.splitlines() if "another run" in line]:
            assert f"pid {other.info.backend_pid}" in line
            assert '"ok\'; --"' in line
            assert f"SELECT pg_terminate_backend({other.info.backend_pid});" in line
    assert (ran.exit_code, ran.err.count("another run")) == (3, 2)
