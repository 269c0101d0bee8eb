"""JSON follows its published schema, NDJSON has a line for each report and finding, no form lets a value act."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aoc_migrate.cli import cli
from aoc_migrate.report.facts.dashboard import StatusFacts
from aoc_migrate.report.facts.raw_rows import AuditFacts
from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.facts.runs import HistoryFacts, VerifierFacts
from aoc_migrate.report.facts.target_state import CatalogFacts
from aoc_migrate.report.forms import render
from aoc_migrate.report.model import Finding, Next, Report, StepReport
from tests.conftest import ROOT, Aoc, Database
from tests.helpers import fill
from tests.rehearsals import rehearse
from tests.test_docs import commands
from tests.test_report_text import run_of

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA)
PASTED = (
    r"(AOC_ALLOW_SUPERSEDES_RETROFIT=true |\w+_DATABASE_URL='[^']+' )?aoc-migrate( [\w-]+)+"
    r"|cd \S+ && sha256sum --check SHA256SUMS"
)


BOUND = ("server", "database", "schema", "role", "ticket")


def problems(printed: Any) -> list[str]:
    """Return what of a report is not as the schema says."""
    return [f"{error.json_path}: {error.message}" for error in VALID.iter_errors(printed)]


def test_the_schema_is_a_json_schema() -> None:
    """docs/report.schema.json is a valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.alike
def test_every_commands_json_is_valid(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> None:
    """What each command prints with --format json is valid, whether it goes well or not."""
    target = target_with_chain.target
    fill(target_with_chain, 50)
    target_with_chain.add("twice", upstream_id="twice", content_hash="twice")
    target_with_chain.add("again", upstream_id="twice", content_hash="twice")
    target_with_chain.add("nobody", tenant=None)
    runs = [aoc.json(command, target) for command in ("upgrade", "audit", "plan", "repair", "dedupe")]
    runs += [aoc.json("repair", target, "--rule", "all", "--apply"), aoc.json("dedupe", target, "--apply")]
    runs += [
        aoc.json("upgrade", target, **retrofit),
        aoc.json("verify", target, "--probe", "--since", "1h", "--tenant", "default"),
        aoc.json("upgrade", target),
    ]
    for command in ("create", "check", "drop"):
        runs.append(aoc.json("verifier", command, target, AOC_VERIFIER_USER="a-verifier"))
    target_with_chain.run(f"UPDATE {target_with_chain.table} SET supersedes = 'r49' WHERE id = 'r3'")
    for command in (
        "chain",
        "status",
        "control",
        "history",
        "chain --drop-journal",
        "quarantine",
        "wait",
        "verify",
        "constraints",
    ):
        runs.append(aoc.json(*command.split(), target))
    runs += [aoc.json("downgrade", target, "base")]
    aoc.environment.clear()
    runs.append(rehearse(aoc, target_with_chain))
    runs += [aoc.json("bundle", str(tmp_path / "kit"), "--no-wheels")]

    found = [problem for ran in runs for problem in problems(ran.json)]
    following = [report["next"] for ran in runs for report in ran.json["reports"]]
    pasted = [command for each in following for command in (each["command"], *each["choices"]) if command]

    assert found == []
    assert {ran.exit_code for ran in runs} == {0, 1}
    assert len(pasted) > 10
    assert [command for command in pasted if not re.fullmatch(PASTED, command)] == []
    reporting = {" ".join(words) for words, c in commands(cli) if any("--format" in p.opts for p in c.params)}
    assert {ran.json["command"] for ran in runs} == reporting - {"sandbox status", "explain"}


def test_the_report_without_a_server_is_valid(aoc: Aoc) -> None:
    """Where no database was reached, the report is valid too."""
    aoc.environment["CONCELIER_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"

    ran = aoc.json("audit")

    assert ran.exit_code == 3
    assert problems(ran.json) == []


def test_the_schema_refuses_unknown_keys(excititor: Database, aoc: Aoc) -> None:
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
def test_the_schema_refuses_misshapen_facts(key: str, value: Any) -> None:
    """A fact of another shape than the schema says is refused."""
    printed = json.loads(render("json", "verify", [Report("concelier", facts=(AuditFacts(1),))], 0))
    facts = printed["reports"][0]["facts"]
    facts["anything"] = [{"ids": ["a"]}]
    assert problems(printed) == []

    facts[key] = value

    assert problems(printed)


def test_the_next_command_is_a_field_of_its_own() -> None:
    """What to paste, what else there is and what to know of it are three fields; no prose is in a command."""
    report = Report("concelier", next=Next("aoc-migrate audit concelier", ("aoc-migrate status",), "Repair it."))

    (printed,) = json.loads(render("json", "audit", [report], 0))["reports"]

    assert printed["next"] == {
        "command": "aoc-migrate audit concelier",
        "choices": ["aoc-migrate status"],
        "note": "Repair it.",
    }
    assert render("table", "audit", [report], 0).splitlines()[1:-1] == [
        "  note: Repair it.",
        "  next:",
        "    aoc-migrate audit concelier",
        "  or:",
        "    aoc-migrate status",
    ]


def test_ndjson_has_a_line_for_each_report_and_finding(target_with_chain: Database, aoc: Aoc) -> None:
    """NDJSON has what binds the report, then its findings as JSON has them, with command, target and revision."""
    target_with_chain.add("bad", tenant=None, linkset=[])
    expected = aoc.json("audit", target_with_chain.target).report

    ran = aoc("audit", target_with_chain.target, "--format", "ndjson")

    whole, *found = [json.loads(line) for line in ran.out.splitlines()]
    about = {"command": "audit", "target": target_with_chain.target, "revision": None}
    assert found == [{"kind": "finding"} | about | finding for finding in expected["findings"]]
    assert {"kind": "report"} | about | whole == whole
    assert not {"findings", "facts", "steps", "parameters"} & whole.keys()
    assert [whole[key] for key in BOUND] == [expected[key] for key in BOUND]
    assert ran.exit_code == 1


def test_a_clean_audit_is_one_line_of_ndjson(excititor: Database, aoc: Aoc) -> None:
    """A clean audit has one line as NDJSON."""
    aoc.configure(excititor)

    (line,) = aoc("audit", "--format", "ndjson").out.splitlines()

    assert json.loads(line)["verdict"] == "PASSED"


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "markdown", "html"])
def test_no_form_shows_a_secret(form: str, excititor: Database, aoc: Aoc) -> None:
    """Parameters and versions are shown, the URL and its password are not."""
    excititor.add("bad", tenant=None)
    aoc.environment["EXCITITOR_DATABASE_URL"] = excititor.url_as(excititor.connection.info.user, "planted-secret")

    ran = aoc("audit", "--format", form)

    assert "planted-secret" not in ran.out + ran.err
    assert (form in ("json", "html")) == ("max_stall" in ran.out.replace(" ", "_"))


# what a terminal obeys, what turns or hides text, and half a character
TRICKS = "\x1b[2J\x9b\r\u202e\u2066\u200b\u061c\u2028\ufeff\U000e0041\udc80"


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "markdown", "html"])
def test_every_form_is_printable(form: str) -> None:
    """Whatever a value holds, all that is written is printable, and can be written as UTF-8."""
    words = f"a{TRICKS}b"
    found = Finding("blank-key", words, words, words, statement=words, sample=[{"id": words, words: [words]}])
    report = Report(words, words, words, findings=[found], next=Next(words, (words,), words), reached=True)
    report.put(CatalogFacts({words: words, "x": "y"}, {words: words}))
    report.put(StatusFacts(1, (words,), words, 1, words, {words: 1}, (Running(words, waits_for=words),)))
    report.put(HistoryFacts((run_of(words),)))
    report.steps = [StepReport(words, pauses={words: 1.0})]

    written = render(form, "audit", [report], 1)

    assert {character for character in written if not character.isprintable()} <= {"\n"}
    assert "\\u202e" in written
    written.encode()


def test_markup_stays_text_in_markdown() -> None:
    """Markup in an id stays text in Markdown: no tag, link, emphasis, entity or cell comes of it."""
    hostile = "<b> [x](http://e.invalid) www.e.invalid *a* _b_ ~~c~~ `d` | &lt; \\"
    facts = (HistoryFacts((run_of(hostile),)), VerifierFacts(hostile))
    proven = (CatalogFacts({"advisory_raw_keys_v1": "proven"}, {}),)

    written = render("markdown", "history", [Report("concelier", facts=facts)], 0)

    escaped = r"\<b\> \[x\](http\://e.invalid) www\.e.invalid \*a\* \_b\_ \~\~c\~\~ \`d\` \| \&lt; \\"
    assert f"| tenant | {escaped} |" in written
    assert f"| {escaped} | {escaped} |" in written
    assert "advisory_raw_keys_v1" in render("markdown", "verify", [Report("concelier", facts=proven)], 0)


def test_a_finding_in_markdown_has_a_heading_for_each_part() -> None:
    """The table of findings has as many headings as its rows have cells, the help among them."""
    found = Finding("blank-key", "advisory_raw.tenant", "It is blank.", "Fill it in.")

    written = render("markdown", "audit", [Report("concelier", findings=[found])], 1)

    headings, _, row = [line for line in written.splitlines() if line.startswith("|")][:3]
    assert (headings.endswith("| help |"), row.count("|")) == (True, headings.count("|"))
