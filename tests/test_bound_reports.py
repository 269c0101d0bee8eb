"""A report says where it comes from: server, database, schema, role, version, times and ticket."""

import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from aoc_migrate import __version__
from aoc_migrate.report.ticket import RULE
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import psql


def identifier(database: Database) -> str:
    """Return the system identifier of the server."""
    return str(database.value("SELECT system_identifier FROM pg_control_system()"))


@pytest.mark.alike
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


def test_psql_and_stock_alembic_keep_the_ticket(excititor: Database, aoc: Aoc) -> None:
    """The psql scripts and stock Alembic write a ticket to the ledger as well."""
    aoc.configure(excititor)
    script = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")
    for ticket in ("CHG-1", "it's $$ 'CHG'"):
        assert psql(excititor, script, "-v", f"ticket={ticket}", "-v", "remove=0").exit_code == 0
        excititor.run("DELETE FROM aoc_alembic_version")
    command = [sys.executable, "-m", "alembic", "-n", "excititor", "-x", "ticket=CHG-3", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=aoc.env(), check=True, capture_output=True)

    runs = aoc.json("history").report["facts"]["runs"]

    assert [run["ticket"] for run in runs] == ["CHG-3", "it's $$ 'CHG'", "CHG-1"]


@pytest.mark.parametrize("ticket", ["CHG\n1", "x" * 101])
def test_psql_and_stock_alembic_refuse_a_bad_ticket(ticket: str, excititor: Database, aoc: Aoc) -> None:
    """A bad ticket is refused in one sentence, and nothing is changed."""
    aoc.configure(excititor)
    script = (ROOT / "scripts" / "apply-aoc-constraints.sql").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "alembic", "-n", "excititor", "-x", f"ticket={ticket}", "upgrade", "head"]

    ran = psql(excititor, script, "-v", f"ticket={ticket}")
    stock = subprocess.run(command, cwd=ROOT, env=aoc.env(), check=False, capture_output=True, text=True)

    assert (ran.exit_code, stock.returncode > 0) == (3, True)
    assert RULE in ran.err
    assert RULE in stock.stderr + stock.stdout
    assert excititor.value("SELECT to_regclass('public.aoc_migration_log')") is None


@pytest.mark.parametrize("ticket", ["", "  ", "CHG\n1", "CHG\x1b[2J", "CHG\u202e1", "x" * 101])
def test_a_bad_ticket_is_refused(ticket: str, excititor: Database, aoc: Aoc) -> None:
    """A ticket that is empty, long or not printable is refused before anything is done."""
    aoc.configure(excititor)

    ran = aoc("upgrade", "--ticket", ticket)

    assert (ran.exit_code, ran.out) == (2, "")
    assert RULE in " ".join(ran.err.split())
    assert excititor.value("SELECT to_regclass('public.aoc_migration_log')") is None


def test_a_role_without_the_function_sees_no_identifier(excititor: Database, aoc: Aoc) -> None:
    """Where a role may not call pg_control_system(), the report says null, and all else."""
    excititor.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    excititor.run("CREATE ROLE bound_auditor LOGIN PASSWORD 'x'; GRANT SELECT ON vex_raw TO bound_auditor")
    try:
        aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as("bound_auditor", "x")
        report = aoc.json("audit").report
    finally:
        excititor.run("DROP OWNED BY bound_auditor; DROP ROLE bound_auditor")
        excititor.run("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")

    assert (report["server"]["system_identifier"], report["role"]) == (None, "bound_auditor")


def test_what_to_type_next_keeps_the_ticket(excititor: Database, aoc: Aoc) -> None:
    """A command that is to be repeated has the ticket that was typed."""
    excititor.run("DROP TABLE vex_raw")
    aoc.configure(excititor)

    report = aoc.json("upgrade", "--no-create", "--ticket", "CHG 1").report

    assert report["next"]["command"] == "aoc-migrate upgrade excititor --no-create --ticket 'CHG 1'"
