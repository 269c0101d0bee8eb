"""JSON holds to its published schema, and NDJSON is one finding a line."""

import json
from typing import Any

import jsonschema
import pytest

from tests.conftest import ROOT, Aoc, Database
from tests.helpers import fill

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA)


def problems(printed: Any) -> list[str]:
    """Return what of a report is not as the schema says."""
    return [f"{error.json_path}: {error.message}" for error in VALID.iter_errors(printed)]


def test_the_schema_is_one() -> None:
    """docs/report.schema.json is a JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_command(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """What each command prints with --format json is valid, whether it goes well or not."""
    target = database.target
    fill(database, 50)
    database.add("twice", upstream_id="twice", content_hash="twice")
    database.add("again", upstream_id="twice", content_hash="twice")
    stopped = aoc.json("upgrade", target)
    runs = [stopped, aoc.json("audit", target), aoc.json("plan", target)]
    database.run(f"DELETE FROM {database.table} WHERE id IN ('twice', 'again')")
    runs += [
        aoc.json("upgrade", target, **allowed),
        aoc.json("verify", target, "--probe"),
        aoc.json("upgrade", target),
    ]
    database.run(f"UPDATE {database.table} SET supersedes = 'r49' WHERE id = 'r3'")
    for command in ("chain", "status", "history", "journal", "wait", "verify", "constraints"):
        runs.append(aoc.json(command, target))
    runs.append(aoc.json("downgrade", target, "base"))

    found = [problem for ran in runs for problem in problems(ran.json)]

    assert found == []
    assert {ran.exit_code for ran in runs} == {0, 1}


def test_a_server_that_is_not_there(aoc: Aoc) -> None:
    """Where no database was reached, the report is valid too."""
    aoc.environment["CONCELIER_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"

    ran = aoc.json("audit")

    assert ran.exit_code == 3
    assert problems(ran.json) == []


def test_the_schema_refuses(excititor: Database, aoc: Aoc) -> None:
    """A key that it does not know, at any fixed level, is no report."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)
    good = aoc.json("audit").json
    assert problems(good) == []

    for place in (good, good["reports"][0], good["reports"][0]["findings"][0]):
        place["surprise"] = 1
        assert problems(good)
        del place["surprise"]


def test_one_finding_a_line(database: Database, aoc: Aoc) -> None:
    """NDJSON has the findings of the JSON, in its order, each with command, target and revision."""
    database.add("bad", tenant=None, linkset=[])
    expected = aoc.json("audit", database.target).report["findings"]

    ran = aoc("audit", database.target, "--format", "ndjson")

    found = [json.loads(line) for line in ran.out.splitlines()]
    about = {"command": "audit", "target": database.target, "revision": None}
    assert found == [about | finding for finding in expected]
    assert ran.exit_code == 1


def test_no_finding_no_line(excititor: Database, aoc: Aoc) -> None:
    """A clean audit is empty as NDJSON."""
    aoc.configure(excititor)

    assert aoc("audit", "--format", "ndjson").out == ""


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "markdown", "html"])
def test_no_secret_in_any_form(form: str, excititor: Database, aoc: Aoc) -> None:
    """Parameters and versions are told, the URL and its password are not."""
    excititor.add("bad", tenant=None)
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(excititor.connection.info.user, "planted-secret")

    ran = aoc("audit", "--format", form)

    assert "planted-secret" not in ran.out + ran.err
    assert (form in ("json", "html")) == ("max_stall" in ran.out)
