"""What the audit prints: no document's content in any format. It changes nothing."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from aoc_migrate.sandbox.databases import create_raw_table
from aoc_migrate.sandbox.server import find_binaries
from tests.conftest import Aoc, Database

CANARY = "canary-7f3a"
FORMATS = ["table", "json", "markdown"]
OBJECTS = ("source", "upstream", "linkset", "content", "identifiers")


def plant(database: Database) -> None:
    """Store rows that break every rule, each with the canary wherever a document has text of its own."""
    said: dict[str, Any] = {"note": CANARY, "raw": {"severity": CANARY, CANARY: [CANARY]}, "cve": CANARY}
    good: dict[str, Any] = dict.fromkeys(OBJECTS, said)
    for n in range(3):
        database.add(f"good{n}", retrieved_at=f"2025-01-0{n + 1}T00:00:00Z", **good)
    values = [[CANARY], Jsonb(CANARY), said | {"cvss": CANARY}, said | {"effective_x": [CANARY]}]
    for n, column in enumerate(OBJECTS):
        for m, value in enumerate(values):
            database.add(f"bad{n}{m}", **(good | {column: value, "upstream_id": f"bad{n}{m}"}))
        variant = good | {column: said | {"Severity": CANARY}, "upstream_id": column}
        database.add(f"variant of {column}", **variant)
    mirrored = good | {"source": said | {"vendor": CANARY}, "upstream": said | {"content_hash": CANARY}}
    for n in range(2):
        database.add(f"twice{n}", **(mirrored | {"upstream_id": "twice", "content_hash": "twice"}))
    database.add("none", **(good | {"tenant": None, "source": None}))
    database.add("blank", **(good | {"upstream_id": " "}))


@pytest.mark.alike
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("target", ["concelier", "excititor"])
def test_no_command_prints_content_of_documents(
    form: str, target: str, request: pytest.FixtureRequest, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """However broken the rows are, no command prints anything from a document to stdout or stderr."""
    database: Database = request.getfixturevalue(target)
    plant(database)
    aoc.configure(database)
    printed = aoc("audit", "--format", form)
    assert printed.exit_code == 1
    assert all(slug in printed.out for slug in ("derived-key", "envelope-mismatch", "duplicate-key", "blank-key"))
    runs = [printed, aoc("upgrade", "--format", form, **retrofit)]

    database.run(f"DELETE FROM {database.table} WHERE id !~ '^(good|variant)'")
    runs.append(aoc("upgrade", "--format", form, **retrofit))
    assert runs[-1].exit_code == 0
    database.run(f"UPDATE {database.table} SET supersedes = 'good2' WHERE id = 'good1'")
    for words in (
        ["verify", "--probe"],
        ["chain"],
        ["status"],
        ["chain", "--drop-journal"],
        ["downgrade", "base"],
    ):
        runs.append(aoc(*words, "--format", form))
    assert [ran.exit_code for ran in runs[3:]] == [1, 1, 0, 0, 0]

    assert [ran for ran in runs if CANARY in ran.out + ran.err] == []


def timeless(text: str) -> str:
    """Return a report without times and durations, in which two runs of a command may differ."""
    return re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d[\d.]* m?s\b|"seconds": [\d.]+', "…", text)


def test_all_formats_report_the_same(concelier: Database, aoc: Aoc, tmp_path: Path) -> None:
    """All formats name the same findings with the same counts, and --output writes what stdout had."""
    plant(concelier)
    aoc.configure(concelier)
    out = {form: aoc("audit", "--format", form, "--verbose").out for form in FORMATS}
    (report,) = json.loads(out["json"])["reports"]

    for finding in report["findings"]:
        heading = " ".join(filter(None, (finding["slug"], finding["code"], finding["subject"])))
        cells = [
            finding["severity"],
            " ".join(filter(None, (finding["slug"], finding["code"]))),
            finding["subject"],
        ]
        cells += ["" if finding[n] is None else str(finding[n]) for n in ("count", "rows")]
        assert f" {heading}\n" in out["table"]
        assert f"| {' | '.join(cells)} |" in out["markdown"]
    for form in FORMATS:
        path = tmp_path / f"audit.{form}"
        written = aoc("audit", "--format", form, "--verbose", "--output", str(path))
        assert (written.exit_code, written.out) == (1, "")
        assert timeless(path.read_text(encoding="utf-8")) == timeless(out[form])


def left_behind(database: Database) -> list[Any]:
    """Return every relation, function and row version of the database."""
    return [
        database.rows("SELECT oid, relname, relkind, relfilenode, relacl::text FROM pg_class ORDER BY oid"),
        database.rows("SELECT oid, proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
        database.rows(f"SELECT xmin, ctid, id FROM {database.table} ORDER BY id"),
        database.rows("SELECT xmin, ctid, id FROM advisory ORDER BY id"),
    ]


def test_the_audit_changes_nothing_and_needs_only_select(concelier: Database, aoc: Aoc) -> None:
    """A role with SELECT alone finds what a superuser finds, and the database is the same afterwards."""
    plant(concelier)
    concelier.run(
        "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN PASSWORD 'l'; GRANT SELECT ON advisory_raw TO looker"
    )
    aoc.configure(concelier)
    before = left_behind(concelier)

    full = aoc.json("audit")
    limited = aoc.json("audit", CONCELIER_DATABASE_URL=concelier.url_as("looker", "l"))

    assert left_behind(concelier) == before
    assert limited.exit_code == full.exit_code == 1
    assert [f for f in limited.report["findings"] if f["slug"] != "limited-visibility"] == full.report["findings"]
    assert (full.report["changed"], full.report["steps"]) == (False, [])


@pytest.mark.parametrize("schema", ["public", 'Vuln "Data"'])
def test_printed_statements_run_in_psql(schema: str, empty_database: Database, aoc: Aoc) -> None:
    """Every statement of the report, pasted into psql as it is, runs and returns the rows that were counted."""
    name = '"' + schema.replace('"', '""') + '"'
    empty_database.run(f"CREATE SCHEMA IF NOT EXISTS {name}; SET search_path TO {name}")
    create_raw_table(empty_database.connection, "advisory_raw")
    plant(empty_database)
    aoc.configure(empty_database)
    psql = Path(find_binaries()) / "psql"
    if not psql.is_file():
        pytest.skip(f"no psql among the server's binaries ({psql.parent})")

    findings = aoc.json("audit", CONCELIER_DATABASE_SCHEMA=schema).report["findings"]

    asked = [f for f in findings if f["statement"]]
    assert len(asked) > 10
    for finding in asked:
        done = subprocess.run(
            [
                psql,
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set",
                "ON_ERROR_STOP=1",
                empty_database.url,
            ],
            input=f"{finding['statement']};",
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == finding["count"]
