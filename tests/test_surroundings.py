"""Other activity in the database is reported by name before it does harm."""

import psycopg
import pytest

from tests.conftest import Aoc, Database
from tests.helpers import fill

COMMANDS = ["audit", "status", "upgrade"]


@pytest.mark.alike
@pytest.mark.parametrize("command", COMMANDS)
def test_an_old_snapshot_is_named(command: str, excititor: Database, aoc: Aoc) -> None:
    """A transaction that holds an old snapshot, as pg_dump's does, is named: index builds wait for it."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url, application_name="pg_dump") as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        dump.execute("SELECT pg_sleep(6)")
        pid = dump.info.backend_pid
        ran = aoc.json(command, *(["excititor_0001"] if command == "upgrade" else []))

    finding = ran.finding("old-transaction")
    assert (ran.exit_code, finding["severity"]) == (0, "warning")
    assert f"pid {pid} " in finding["problem"]
    assert "'pg_dump'" in finding["problem"]


@pytest.mark.parametrize("command", COMMANDS[:2])
def test_a_prepared_transaction_is_named(command: str, excititor: Database, aoc: Aoc) -> None:
    """A prepared transaction is named with its owner and age."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT 1")
        other.execute("PREPARE TRANSACTION 'left behind'")
    try:
        ran = aoc.json(command)
    finally:
        excititor.run("ROLLBACK PREPARED 'left behind'")

    assert "'left behind' of sandbox" in ran.finding("prepared-transaction")["problem"]


@pytest.mark.parametrize("command", COMMANDS[:2])
def test_an_abandoned_slot_is_named(command: str, excititor: Database, aoc: Aoc) -> None:
    """A replication slot without a consumer is named with the WAL that it keeps."""
    aoc.configure(excititor)
    slot = f"abandoned_{excititor.connection.info.backend_pid}"
    excititor.run("SELECT pg_create_physical_replication_slot(%s, true)", [slot])
    try:
        ran = aoc.json(command)
    finally:
        excititor.run("SELECT pg_drop_replication_slot(%s)", [slot])

    assert f"{slot} (keeps " in ran.finding("replication-slot")["problem"]


def test_timeouts_of_the_role_stop_nothing(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Timeouts of the role are shown, and do not end the upgrade."""
    role = f"hurried_{excititor.connection.info.backend_pid}"
    excititor.run(
        f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'h'; ALTER ROLE {role} SET statement_timeout = '20ms'; "
        f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '7s'"
    )
    fill(excititor, 4000)
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "h")

    audited, upgraded = aoc.json("audit", **retrofit), aoc.json("upgrade", **retrofit)

    problem = audited.finding("role-timeouts")["problem"]
    assert "idle_in_transaction_session_timeout = 7000ms, statement_timeout = 20ms" in problem
    assert (audited.exit_code, upgraded.exit_code) == (0, 0)


def test_status_warns_a_read_only_role(excititor: Database, aoc: Aoc) -> None:
    """Status says beforehand that this role could not migrate, and still exits 0."""
    role = f"reader_{excititor.connection.info.backend_pid}"
    excititor.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'r'; ALTER ROLE {role} SET default_transaction_read_only = on"
    )
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(role, "r")

    ran = aoc.json("status")

    assert (ran.exit_code, ran.slugs("warning")) == (0, ["read-only-role", "limited-visibility"])
