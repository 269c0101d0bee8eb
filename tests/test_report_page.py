"""What an HTML report says: verdicts, what binds it, what was checked, cards, rules, words."""

import json
import re
from pathlib import Path

import pytest

from aoc_migrate.report.html import page
from aoc_migrate.report.model import Place, Report, StepReport, finding
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.test_report_html import Reader


def section(text: str, heading: str) -> str:
    """Return the text of the part of a page below a heading of level 3, without markup."""
    (part,) = re.findall(rf"<h3[^>]*>{heading}</h3>(.*?)(?=<h3|</section)", text, re.DOTALL)
    return " ".join(" ".join(Reader(part).words).split())


def tiles(text: str) -> list[tuple[str, str]]:
    """Return name and number of each tile of a page."""
    found = "".join(re.findall(r'<dl class="tiles">(.*?)</dl>', text, re.DOTALL))
    return re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", found)


def forbidden(number: int, column: str = "source") -> Report:
    """Return a report with this number of findings of one kind, each with a sample of 200 rows."""
    report = Report("concelier", "concelier_0008", reached=True)
    sample = [{"id": f"advisory_raw:osv:ghsa-{n}:sha256-0123456789ab", "keys": ["severity"]} for n in range(200)]
    for n in range(number):
        values = {"column": f"{column}_{n}", "keys": "severity", "target": "concelier", "sample": sample}
        where = f"SELECT id FROM public.advisory_raw WHERE {column}_{n} ? 'severity' ORDER BY id"
        found = finding("forbidden-key", f"advisory_raw.{column}_{n}", count=9, rows=9, statement=where, **values)
        report.findings.append(found)
    return report


def test_the_header_binds_the_page(excititor: Database, aoc: Aoc) -> None:
    """The header has the verdict, and server, database, schema, role, version, times, duration and ticket."""
    aoc.configure(excititor)
    known = excititor.connection.info

    text = aoc("upgrade", "--ticket", "CHG-5", "--format", "html").out

    head = " ".join(" ".join(Reader(text.partition("<header>")[2].partition("</header>")[0]).words).split())
    assert "✓ PASSED changed" in head
    assert "(exit code 0: clean)" in head
    for name, value in (("ticket", "CHG-5"), ("server", f"{known.host}:{known.port}"), ("role", known.user)):
        assert f"{name} {value}" in head
    assert re.search(r"database \w+ schema public role .+ PostgreSQL \d+\.\d+.* system identifier \d+", head)
    assert re.search(r"began (\S+Z) ended \1?\S*Z", head)
    assert re.search(r"revision excititor_0007 \(head\) run 1 took [\d.]+ m?s", head)


def test_several_targets_have_a_verdict_each() -> None:
    """With several targets, the whole has the worst verdict, and each target its own and its own place."""
    good, bad = Report("excititor", reached=True), forbidden(1)
    good.place, bad.place = Place(host="one", port=1), Place(host="two", port=2)

    text = page("audit", [good, bad], 1)

    verdicts = re.findall(r'<strong><span aria-hidden="true">.</span> (\w+)</strong>', text)
    targets = re.findall(
        r'<div class="target (\w+)">.*?<a href="(#[\w-]+)">(\w+)</a>.*?<dd>(.*?)</dd>', text, re.DOTALL
    )
    assert verdicts == ["FINDINGS"]
    assert targets == [("ok", "#target-0", "excititor", "one:1"), ("error", "#target-1", "concelier", "two:2")]


def test_what_was_checked_is_counted(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """Tiles and table have the numbers of the facts: rows, rules, indexes, links, refused rows."""
    fill(target_with_chain, 30)
    assert aoc("upgrade", **retrofit).exit_code == 0
    facts = aoc.json("verify", "--probe").report["facts"]

    probed, plain = (aoc("verify", *words, "--format", "html").out for words in (("--probe",), ()))

    (attempts,) = (check["checked"] for check in facts["checks"] if check["unit"] == "bad rows")
    expected = {
        "rows read": f"{facts['rows']}",
        "rules proven": "11 of 11",
        "indexes valid": "2 of 2",
        "links followed": f"{facts['linked']}",
        "bad rows refused": f"{attempts} of {attempts}",
        "checks passed": f"{facts['checks_passed']} of {len(facts['checks'])}",
    }
    assert dict(tiles(probed)) == expected
    assert "bad rows refused" not in dict(tiles(plain))
    assert all(check["what"] in section(probed, "What was checked") for check in facts["checks"])


def test_what_does_not_hold_comes_first(excititor: Database, aoc: Aoc) -> None:
    """A check that did not pass is the first, and says how often it does not hold."""
    excititor.add("bad", tenant=None, source_vendor=None)
    aoc.configure(excititor)

    checked = section(aoc("audit", "--format", "html").out, "What was checked")

    assert re.search(
        r"result what should hold checked ! 2 not passed required columns have a value 1 row ", checked
    )


@pytest.mark.alike
def test_no_page_shows_what_is_not_there(target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """What a page has no value for is left out: no empty quotes, no null, no None."""
    assert aoc("upgrade", **retrofit).exit_code == 0

    for command in ("audit", "plan", "upgrade", "verify", "history", "status", "quarantine", "dedupe", "repair"):
        text = " ".join(Reader(aoc(command, target_with_chain.target, "--format", "html").out).words)
        assert re.findall(r'""|\bnull\b|\bNone\b(?!\.)|\bundefined\b', text) == [], command


def test_a_card_has_its_commands_and_the_rule(excititor: Database, aoc: Aoc) -> None:
    """Commands of a help are code of their own, and what `explain` says of the rule is folded in."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)

    text = aoc("audit", "--format", "html").out

    commands = re.findall(r'<pre class="command"><code>(.*?)</code></pre>', text)
    assert "aoc-migrate repair excititor --rule missing-required" in commands
    (folded,) = re.findall(r'<div id="rule-missing-required">(.*?)</div></details>', text, re.DOTALL)
    (explained,) = json.loads(aoc.json("explain", "missing-required").out)
    words = re.sub(r"```\w*|`", "", explained["text"]).split()
    assert "".join(Reader(folded).words).split() == words


def test_a_rule_is_on_a_page_once() -> None:
    """Findings of one kind are one card; a rule is folded into the first of the page, and others link to it."""
    text = page("audit", [forbidden(3), forbidden(1)], 1)

    reader = Reader(text)
    assert reader.problems == []
    assert len(reader.named("article")) == 2
    assert text.count('id="rule-forbidden-key"') == text.count('href="#rule-forbidden-key"') == 1
    assert text.count("advisory_raw.source_0</code>") == 2


def test_only_words_of_the_page_are_explained(excititor: Database, aoc: Aoc) -> None:
    """The glossary has the words that the page uses, proven, stall and link among them, and no others."""
    aoc.configure(excititor)

    upgraded = aoc("upgrade", "--format", "html").out

    for text in (upgraded, aoc("history", "--format", "html").out):
        body, _, words = text.partition('<section class="words"')
        used = " ".join(Reader(body.partition("<body>")[2]).words).lower()
        listed = re.findall(r"<dt>(.*?)</dt>", words)
        assert listed == sorted(listed, key=str.lower)
        assert [each for each in listed if not any(word in used for word in each.lower().split(", "))] == []
    assert {"proven", "stall", "link"} <= set(re.findall(r"<dt>(.*?)</dt>", upgraded))


@pytest.mark.parametrize("number", [0, 100, 10_000])
def test_the_size_of_a_page_is_bounded(number: int) -> None:
    """A page has at most 120 kB, and 2 kB more for each finding; the samples of a page have 5,000 rows in all."""
    text = page("audit", [forbidden(number)], 1 if number else 0)

    assert len(text.encode()) < 120_000 + 2_000 * number + 5_000 * 200
    assert text.count("advisory_raw:osv:ghsa-") == min(50 * number, 5_000)
    assert text.count("200 of them only in the JSON") == max(number - 100, 0)


def test_a_value_is_bounded(tmp_path: Path) -> None:
    """A value of a sample is cut after 2,000 characters."""
    report = forbidden(1)
    report.findings[0].sample[:] = [{"id": "x" * 100_000}]

    assert len(page("audit", [report], 1)) < 30_000


def test_a_step_without_a_strong_lock_says_so() -> None:
    """A step in batches says for how long its rows were locked; a step of a rehearsal, in which phase it ran."""
    step = StepReport("link rows", total_ms=84.0, rows=1816, longest_ms=41.0, phase="upgrade")

    text = Reader(page("rehearse", [Report("concelier", steps=[step])], 0)).text

    assert "upgrade: link rows" in text
    assert "no strong lock; 84 ms of work, 1,816 rows, each locked for at most 41 ms" in text
    assert "No step took a strong lock." in text
