"""JSON holds to its published schema, NDJSON is one finding a line, and no form lets a value act."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aoc_migrate.cli import cli
from aoc_migrate.report.formatting import last_words
from aoc_migrate.report.model import Finding, Report
from aoc_migrate.report.render import render
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import fill
from tests.test_docs import commands

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA)


def problems(printed: Any) -> list[str]:
    """Return what of a report is not as the schema says."""
    return [f"{error.json_path}: {error.message}" for error in VALID.iter_errors(printed)]


def test_the_schema_is_one() -> None:
    """docs/report.schema.json is a JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_command(database: Database, aoc: Aoc, allowed: dict[str, str], tmp_path: Path) -> None:
    """What each command prints with --format json is valid, whether it goes well or not."""
    target = database.target
    fill(database, 50)
    database.add("twice", upstream_id="twice", content_hash="twice")
    database.add("again", upstream_id="twice", content_hash="twice")
    database.add("nobody", tenant=None)
    runs = [aoc.json(command, target) for command in ("upgrade", "audit", "plan", "repair", "dedupe")]
    runs += [aoc.json("repair", target, "--rule", "all", "--apply"), aoc.json("dedupe", target, "--apply")]
    runs += [
        aoc.json("upgrade", target, **allowed),
        aoc.json("verify", target, "--probe", "--since", "1h", "--tenant", "default"),
        aoc.json("upgrade", target),
    ]
    for command in ("create", "check", "drop"):
        runs.append(aoc.json("verifier", command, target, AOC_VERIFIER_USER="a-verifier"))
    database.run(f"UPDATE {database.table} SET supersedes = 'r49' WHERE id = 'r3'")
    for command in (
        "chain",
        "status",
        "history",
        "chain --drop-journal",
        "quarantine",
        "wait",
        "verify",
        "constraints",
    ):
        runs.append(aoc.json(*command.split(), target))
    runs += [aoc.json("downgrade", target, "base"), aoc.json("bundle", str(tmp_path / "kit"), "--no-wheels")]

    found = [problem for ran in runs for problem in problems(ran.json)]

    assert found == []
    assert {ran.exit_code for ran in runs} == {0, 1}
    reporting = {" ".join(words) for words, c in commands(cli) if any("--format" in p.opts for p in c.params)}
    assert {ran.json["command"] for ran in runs} == reporting - {"sandbox status"}


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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", "3"),
        ("rules", {"tenant NOT NULL": "perhaps"}),
        ("indexes", {"i": "proven"}),
        ("chain_depths", {"1": 0}),
        ("chain_depths", {"many": 1}),
        ("largest_chains", [{"revisions": 3, "documents": 1}]),
        ("duplicates_by_vendor", [{"source_vendor": "osv", "groups": 1, "rows": 1}]),
        ("probed", "yes"),
        ("anything", [{"deep": {"er": 1}}]),
        ("anything", {"deep": {"er": 1}}),
    ],
)
def test_the_schema_refuses_facts(key: str, value: Any) -> None:
    """A fact of another shape than the schema says is refused."""
    report = Report("concelier", facts={"rows": 1, "anything": [{"ids": ["a"]}]})
    assert problems(json.loads(render("json", "verify", [report], 0))) == []

    report.facts[key] = value

    assert problems(json.loads(render("json", "verify", [report], 0)))


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
    assert (form in ("json", "html")) == ("max_stall" in ran.out.replace(" ", "_"))


# what a terminal obeys, what turns or hides text, and half a character
TRICKS = "\x1b[2J\x9b\r\u202e\u2066\u200b\u061c\u2028\ufeff\U000e0041\udc80"


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "markdown", "html"])
def test_nothing_invisible_in_any_form(form: str) -> None:
    """Whatever a value holds, all that is written is printable, and can be written as UTF-8."""
    words = f"a{TRICKS}b"
    facts = {words: words, "pending": [words], "rules": {words: words, "x": "y"}, "runs": [{words: words}]}
    found = Finding("blank-key", words, words, words, statement=words, sample=[{"id": words, words: [words]}])
    report = Report(words, words, words, findings=[found], facts=facts, next=words, reached=True)
    report.steps = [{"statement": words, "attempts": 1}]

    written = render(form, "audit", [report], 1)

    assert {character for character in written if not character.isprintable()} <= {"\n"}
    assert "\\u202e" in written
    written.encode()


def test_markdown_shows_what_there_is() -> None:
    """Markup in an id stays text in Markdown: no tag, link, emphasis, entity or cell comes of it."""
    hostile = "<b> [x](http://e.invalid) www.e.invalid *a* _b_ ~~c~~ `d` | &lt; \\"
    facts = {"runs": [{"host": hostile}], "host": hostile}

    written = render("markdown", "history", [Report("concelier", facts=facts)], 0)

    escaped = r"\<b\> \[x\](http\://e.invalid) www\.e.invalid \*a\* \_b\_ \~\~c\~\~ \`d\` \| \&lt; \\"
    assert written.count(f"| {escaped} |") == 2
    assert "advisory_raw_keys_v1" in render(
        "markdown", "verify", [Report("concelier", facts={"rules": {"advisory_raw_keys_v1": "proven"}})], 0
    )


def test_facts_as_people_read_them() -> None:
    """Table and Markdown put thousands apart and units beside, and depths in rows."""
    facts = {
        "rows": 12345,
        "table_bytes": 2048,
        "since_seconds": 86400.0,
        "probed": True,
        "chain_depths": {"1": 1200, "3 to 4": 1},
        "pending": [],
        "rules": {"a": "proven", "b": "proven"},
        "mixed": {"a": "proven", "b": "missing", "c": "proven", "d": "changed"},
        "indexes": {"a": "valid", "b": "missing"},
    }
    reports = [Report("concelier", facts=facts)]

    table, markdown = (render(form, "verify", reports, 0) for form in ("table", "markdown"))

    assert table.splitlines()[1:-1] == [
        "  rows: 12,345",
        "  table: 2 kB",
        "  since: 86,400 s",
        "  probed: true",
        "  chain depths:",
        "    revisions=1  documents=1200",
        "    revisions=3 to 4  documents=1",
        "  pending: none",
        "  rules: 2, all proven",
        "  mixed: 2 of 4 proven; b missing, d changed",
        "  indexes:",
        "    a: valid",
        "    b: missing",
    ]
    for line in (
        "| since | 86,400 s |",
        "| revisions | documents |",
        "| 1 | 1,200 |",
        "| probed | true |",
        "| indexes | a: valid; b: missing |",
    ):
        assert f"\n{line}\n" in markdown


def test_last_words_fit_a_termination_message() -> None:
    """The last words name each target that failed, with what to type, and never pass Kubernetes' 4096 bytes."""
    errors = [Finding(f"slug-{n}", "tablé", "problem", "help") for n in range(200)]
    reports = [Report("concelier"), Report("excititor", findings=errors[:1]), Report("concelier", findings=errors)]

    short, long = last_words("verify", reports[:2]), last_words("verify", reports)

    assert short.splitlines() == [
        "verify excititor: NOT OK: 1 error, 0 warnings; nothing changed; exit code 1",
        "slug-0 tablé: problem",
        "-> help",
    ]
    assert 4090 < len(long.encode()) <= 4096
    assert long.endswith("…")
