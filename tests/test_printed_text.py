"""Text that others stored is data in all that we print: it starts no new line, and no terminal obeys it."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from prometheus_client import generate_latest
from psycopg.sql import SQL, Identifier, Literal

from aoc_migrate.database.limits import Flags, Limits
from aoc_migrate.database.runner_lock import lock_key
from aoc_migrate.database.session import connect
from aoc_migrate.database.targets import Target
from aoc_migrate.database.transcript import Transcript
from aoc_migrate.report.metrics import registry, samples
from aoc_migrate.report.model import Finding, Report
from tests.conftest import ROOT, Aoc, Database

EVIL = "x\nFORGED\x1b[2J\u202e\u200b<b>|`_[a](//e)\"'\\\r\x85\u2028\x7f"
FORMS = ("table", "markdown", "html", "json", "ndjson")


def faults(text: str) -> list[str]:
    """Return the lines that a stored text began, and the characters that a terminal does not just show."""
    made = [line for line in text.splitlines() if line.lstrip(" |>-").startswith("FORGED")]
    return made + [repr(c) for c in text if not c.isprintable() and c != "\n"]


@pytest.fixture
def evil_role_url(excititor: Database) -> Iterator[str]:
    """The URL of a superuser whose name no terminal should print as it is."""
    role = f"x\nFORGED\x1b[2J\u202e\"'|<b>{excititor.connection.info.backend_pid}"
    excititor.run(SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 'p'").format(Identifier(role)))
    yield excititor.url_as(role, "p")
    excititor.run(SQL("DROP ROLE {}").format(Identifier(role)))


def plant(database: Database) -> None:
    """Store the text in ids, keys, names of a trigger, its function and a constraint."""
    name = Identifier(EVIL)
    database.run(
        SQL(
            "CREATE FUNCTION {0}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
            "CREATE TRIGGER {0} BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION {0}(); "
            "CREATE TABLE other (ref text, CONSTRAINT {0} FOREIGN KEY (ref) REFERENCES vex_raw (id))"
        ).format(name)
    )
    for n in range(2):
        keys = dict.fromkeys(("tenant", "source_vendor", "upstream_id", "content_hash"), EVIL)
        database.add(f"{EVIL}{n}", **keys)
    database.run("INSERT INTO other SELECT id FROM vex_raw")


@pytest.mark.alike
@pytest.mark.parametrize("words", ["audit", "dedupe", "repair --rule all", "status"])
def test_names_in_reports_are_escaped(words: str, excititor: Database, evil_role_url: str, aoc: Aoc) -> None:
    """Names of triggers, roles, constraints, prepared transactions and ids come escaped in every form."""
    plant(excititor)
    excititor.add(EVIL, tenant=None)
    aoc.configure(excititor)
    with psycopg.connect(evil_role_url) as other:
        other.execute("SELECT 1")
        other.execute(SQL("PREPARE TRANSACTION {}").format(Literal(EVIL)))
    try:
        written = {form: aoc(*words.split(), "--format", form) for form in FORMS}
    finally:
        excititor.run(SQL("ROLLBACK PREPARED {}").format(Literal(EVIL)))

    assert [fault for ran in written.values() for fault in faults(ran.out + ran.err)] == []
    assert "FORGED" in written["table"].out
    assert "<b>|" not in written["html"].out
    assert "<b>|" not in written["markdown"].out


def test_text_in_the_ledger_is_escaped(excititor: Database, aoc: Aoc) -> None:
    """What the ledger's columns hold is shown escaped, whoever wrote it, and JSON has it as it is."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run(
        SQL(
            "UPDATE aoc_migration_log SET command = {0}, host = {0}, image = {0}, role = {0}, step = {0}, "
            "goal = {0}, revision = {0}, outcome = {0}, version = {0}, findings = ARRAY[{0}], "
            "steps = jsonb_build_array(jsonb_build_object('statement', {0}, 'attempts', 1))"
        ).format(Literal(EVIL))
    )

    written = {form: aoc("history", "--format", form) for form in FORMS}

    assert [fault for ran in written.values() for fault in faults(ran.out + ran.err)] == []
    assert written["json"].report["facts"]["runs"][0]["host"] == EVIL


@pytest.mark.alike
@pytest.mark.parametrize(
    "steps",
    [
        '"x"',
        "1",
        "{}",
        '["x", 1, null]',
        '[{"statement": 5, "held_ms": "x", "waited_ms": [], "pauses": 3}]',
        "[{}]",
    ],
)
def test_foreign_steps_in_the_ledger_break_no_form(steps: str, excititor: Database, aoc: Aoc) -> None:
    """Steps in the ledger that no run of ours wrote are left out or shown as text; no form fails on them."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0
    excititor.run("UPDATE aoc_migration_log SET steps = %s::jsonb", [steps])

    assert {form: aoc("history", "--format", form).exit_code for form in FORMS} == dict.fromkeys(FORMS, 0)


def test_the_name_of_a_blocker_is_escaped_in_the_log(excititor: Database, evil_role_url: str, aoc: Aoc) -> None:
    """Whoever blocks is named in the log by an escaped name: every line is ours."""
    aoc.configure(excititor)
    with psycopg.connect(evil_role_url) as blocker:
        blocker.execute("SELECT FROM vex_raw")
        ran = aoc("upgrade", "--deadline", "4s", "--max-stall", "50ms")

    assert ran.exit_code == 3
    assert "FORGED" in ran.err
    assert faults(ran.err) == []
    assert [line for line in ran.err.splitlines() if "Z excititor: " not in line[:32]] == []


def test_the_name_of_a_lock_holder_is_escaped_in_the_log(
    excititor: Database, evil_role_url: str, aoc: Aoc
) -> None:
    """Whoever holds the run lock is named by an escaped name."""
    aoc.configure(excititor)
    with psycopg.connect(evil_role_url) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [lock_key("excititor", "public")])
        ran = aoc("upgrade", "--lock-wait", "500ms")

    assert ran.exit_code == 3
    assert "FORGED" in ran.err
    assert faults(ran.out + ran.err) == []


def test_stock_alembic_prints_only_lines_of_ours(excititor: Database, aoc: Aoc) -> None:
    """What stops stock Alembic is printed on lines of our own; a stored revision starts none."""
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001").exit_code == 0
    excititor.run("UPDATE aoc_alembic_version SET version_num = %s", [EVIL[:30]])

    ran = subprocess.run(
        [sys.executable, "-m", "alembic", "-n", "excititor", "upgrade", "head"],
        cwd=ROOT,
        env=aoc.env(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert ran.returncode != 0
    assert "FORGED" in ran.stdout + ran.stderr
    assert faults(ran.stdout + ran.stderr) == []


def test_a_refusal_is_one_line(excititor: Database, aoc: Aoc) -> None:
    """A refusal in one sentence is one line, whatever it quotes."""
    aoc.configure(excititor)

    ran = aoc("upgrade", EVIL)

    assert (ran.exit_code, ran.err.count("\n"), "FORGED" in ran.err) == (2, 1, True)
    assert faults(ran.err) == []


def test_a_label_is_on_one_line() -> None:
    """A label holds no control character, and no line of its own."""
    found = Finding("blank-key", EVIL, "", "", count=1)

    text = generate_latest(registry(list(samples("audit", Report("excititor", findings=[found]), 0.0)))).decode()

    assert "FORGED" in text
    assert faults(text) == []


def test_a_line_break_in_a_step_stays_in_its_comment(excititor: Database) -> None:
    """A step whose name holds a line break stays in its comment in the SQL that ran."""
    written: list[str] = []
    with connect(Target("excititor", excititor.url), "test", Limits(), Flags()) as session:
        Transcript(session.connection, written.append).comment(EVIL)

    assert faults("".join(written)) == []
    assert len("".join(written).strip().splitlines()) == 1


def test_the_statement_that_ends_a_prepared_transaction_runs(excititor: Database, aoc: Aoc) -> None:
    """The statement that ends a prepared transaction quotes its name: it runs as printed."""
    aoc.configure(excititor)
    with psycopg.connect(excititor.url) as other:
        other.execute("SELECT FROM vex_raw")
        other.execute("PREPARE TRANSACTION 'it''s; SELECT 1; --'")
    finding = aoc.json("upgrade", "--deadline", "1s", "--max-stall", "50ms").finding("deadline")

    statement = finding["help"].partition("for example: ")[2].partition(")")[0]
    excititor.run(statement)
    assert excititor.value("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()") == 0


def test_the_statement_that_detaches_a_foreign_table_runs(excititor: Database, aoc: Aoc) -> None:
    """The statement that detaches a foreign partition names it with its schema, in quotes: it runs as printed."""
    excititor.run(
        "DROP TABLE vex_raw CASCADE; CREATE TABLE vex_raw (id text, tenant text) PARTITION BY LIST (tenant); "
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE SCHEMA cold; "
        "CREATE FOREIGN TABLE cold.\"a; DROP TABLE b\" PARTITION OF vex_raw FOR VALUES IN ('a') "
        "SERVER files OPTIONS (filename '/dev/null')"
    )
    aoc.configure(excititor)

    finding = aoc.json("audit").finding("foreign-partition")
    excititor.run(finding["help"].removeprefix("Run: "))

    assert excititor.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'vex_raw'::regclass") == 0
