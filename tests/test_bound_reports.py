"""A report says where it comes from: server, database, schema, role, version, times and ticket."""

import re
from datetime import UTC, datetime

import pytest

from aoc_migrate import __version__
from tests.conftest import Aoc, Database


def identifier(database: Database) -> str:
    """Return the system identifier of the server."""
    return str(database.value("SELECT system_identifier FROM pg_control_system()"))


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "markdown", "html"])
@pytest.mark.parametrize("command", ["audit", "wait"])
def test_every_form_says_where_it_comes_from(form: str, command: str, excititor: Database, aoc: Aoc) -> None:
    """Each form of a report has server, database, schema, role, version, times and ticket."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    known = excititor.connection.info

    ran = aoc(command, "--format", form, "--ticket", " CHG-1234 ")

    text = re.sub(r"\\|<[^>]*>", "", re.sub(r"\s+", " ", ran.out))
    said = (known.host, str(known.port), known.dbname, "public", known.user, identifier(excititor))
    for words in (*said, __version__, "CHG-1234", known.parameter_status("server_version")):
        assert str(words) in text, words
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert len(re.findall(rf"{today}T\d\d:\d\d:\d\dZ", text)) >= 2


def test_an_unreachable_target_is_named(aoc: Aoc) -> None:
    """A report about a server that does not answer says where it was looked for."""
    aoc.environment["EXCITITOR_DATABASE_URL"] = "postgresql://stella:secret@127.0.0.1:1/excititor"

    report = aoc.json("audit").report

    assert report["server"] == {"host": "127.0.0.1", "port": 1, "version": None, "system_identifier": None}
    assert (report["database"], report["schema"], report["role"]) == ("excititor", "public", "stella")


def test_the_ledger_keeps_the_ticket(excititor: Database, aoc: Aoc) -> None:
    """A run is recorded with its ticket, from the option or from the environment, and history shows it."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0002", "--ticket", "CHG-1").exit_code == 0
    assert aoc("upgrade", AOC_TICKET="CHG-2").exit_code == 0

    runs = aoc.json("history").report["facts"]["runs"]

    assert [run["ticket"] for run in runs] == ["CHG-2", "CHG-1"]
    assert "CHG-2" in aoc("history").out


@pytest.mark.parametrize("ticket", ["", "  ", "CHG\n1", "CHG\x1b[2J", "CHG\u202e1", "x" * 101])
def test_a_bad_ticket_is_refused(ticket: str, excititor: Database, aoc: Aoc) -> None:
    """A ticket that is empty, long or not printable is refused before anything is done."""
    aoc.configure(excititor)

    ran = aoc("upgrade", "--ticket", ticket)

    assert (ran.exit_code, ran.out) == (2, "")
    assert "a ticket has 1 to 100 printable characters" in " ".join(ran.err.split())
    assert excititor.value("SELECT to_regclass('public.aoc_migration_log')") is None


def test_a_role_without_the_function_sees_no_identifier(excititor: Database, aoc: Aoc) -> None:
    """Where a role may not call pg_control_system(), the report says null, and all else."""
    excititor.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    excititor.run("CREATE ROLE auditor LOGIN PASSWORD 'x'; GRANT SELECT ON vex_raw TO auditor")
    try:
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as("auditor", "x")
        report = aoc.json("audit").report
    finally:
        excititor.run("DROP OWNED BY auditor; DROP ROLE auditor")
        excititor.run("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")

    assert (report["server"]["system_identifier"], report["role"]) == (None, "auditor")


def test_what_to_type_next_keeps_the_ticket(excititor: Database, aoc: Aoc) -> None:
    """A command that is to be repeated has the ticket that was typed."""
    excititor.run("DROP TABLE vex_raw")
    aoc.configure(excititor)

    report = aoc.json("upgrade", "--no-create", "--ticket", "CHG 1").report

    assert report["next"]["command"] == "aoc-migrate upgrade excititor --no-create --ticket 'CHG 1'"
