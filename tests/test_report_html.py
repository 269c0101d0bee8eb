"""The HTML report: whole by itself, safe whatever is in it, readable by people and by machines."""

import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from aoc_migrate.report.html import page
from aoc_migrate.report.model import Finding, Report
from tests.conftest import Aoc, Database

HOSTILE = "</td><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>\"'&\x1b[2J\u202e"
VOID = {"meta", "br", "rect"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Reads a page strictly: elements, their attributes, text, and whatever is not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.problems += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and that it is open."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        """Keep all text."""
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def finding(number: int = 0, **values: object) -> Finding:
    """Return a finding with hostile words in every place."""
    known: dict[str, object] = {
        "slug": "duplicate-key",
        "subject": f"{HOSTILE} {number}",
        "problem": HOSTILE,
        "help": HOSTILE,
        "statement": f"SELECT '{HOSTILE}'\nFROM t",
        "sample": [{"id": HOSTILE, HOSTILE: [HOSTILE], "count": 3}],
        "count": 1,
        "rows": 2,
    }
    return Finding(**(known | values))  # type: ignore[arg-type]


def hostile(findings: int = 1) -> Report:
    """Return a report in which everything that can come from outside is hostile."""
    facts = {
        "runs": [{"run": 1, "host": HOSTILE}],
        "rules": {HOSTILE: HOSTILE},
        "pending": [HOSTILE],
        "chain_depths": {"1": 5, "2": 1},
        "duplicates_by_vendor": [{"source_vendor": HOSTILE, "groups": 1, "rows": 2}],
        HOSTILE: HOSTILE,
    }
    steps = [{"statement": HOSTILE, "attempts": 1, "waited_ms": 1.0, "held_ms": 2.5}]
    found = [finding(n) for n in range(findings)]
    return Report("concelier", "concelier_0008", None, findings=found, facts=facts, steps=steps, next=HOSTILE)


def drawn(*reports: Report) -> str:
    """Return the page of some reports."""
    return page("audit", list(reports), 1, "{}")


def test_nothing_from_outside_becomes_markup() -> None:
    """Hostile words stay text: no element, attribute or control character comes out of them."""
    text = drawn(hostile())
    reader = Reader(text)

    assert reader.problems == []
    assert {"script", "img"} & {name for name, _ in reader.elements} == set()
    assert reader.text.count("alert(1)") >= 12
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_nothing_is_fetched() -> None:
    """The page names no address but its own anchors, and its policy forbids the rest."""
    reader = Reader(drawn(hostile()))

    places = [a[key] for _, a in reader.elements for key in ("src", "href", "action", "data") if key in a]
    assert places == ["#report"]
    assert {"link", "iframe", "object", "form"} & {name for name, _ in reader.elements} == set()
    policies = [m["content"] for m in reader.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; style-src 'sha256-")


def test_readable_without_eyes_or_mouse() -> None:
    """One h1, headings without gaps, captions and scopes in every table, each scrolling part in the tab order."""
    reader = Reader(drawn(hostile(), hostile()))
    levels = [int(name[1]) for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]

    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(reader.named("caption")) == len(reader.named("table"))
    assert all(th.get("scope") for th in reader.named("th"))
    assert all(
        a.get("tabindex") == "0" and a.get("aria-label") for a in reader.named("div") if a.get("class") == "scroll"
    )
    assert reader.named("html")[0]["lang"] == "en"
    assert len(reader.named("main")) == 1


def test_ids_are_unique() -> None:
    """Two targets in one page share no id."""
    other = hostile()
    other.target = "excititor"
    reader = Reader(drawn(hostile(), other))
    ids = [a["id"] for _, a in reader.elements if "id" in a]

    assert len(ids) == len(set(ids))


def test_no_findings() -> None:
    """Without findings the page says so."""
    assert "None." in Reader(drawn(Report("concelier"))).text


def test_ten_thousand_findings() -> None:
    """Ten thousand findings make a whole page, and a sample shows 50 rows and how many more there are."""
    many = hostile(10_000)
    many.findings[0] = finding(sample=[{"id": n} for n in range(200)])

    reader = Reader(drawn(many))

    assert reader.problems == []
    assert len(reader.named("article")) == 10_000
    assert "150 of them only in the JSON" in reader.text


def test_the_sum_of_the_json(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """The page shows the SHA-256 of what --format json prints for the same state."""
    assert aoc("upgrade", database.target, **allowed).exit_code == 0
    printed = aoc.json("verify", database.target).out

    text = aoc("verify", database.target, "--format", "html").out

    assert hashlib.sha256(printed.encode()).hexdigest() in text


def test_everything_is_in_it(database: Database, aoc: Aoc, allowed: dict[str, str]) -> None:
    """Audit tells duplicates by vendor; upgrade rules, indexes, depths and steps; history the runs."""
    for n in range(3):
        database.add(f"twice{n}", upstream_id="twice", content_hash="twice")
    target = database.target
    audit = aoc("audit", target, "--format", "html").out
    database.run(f"DELETE FROM {database.table} WHERE id ~ 'twice'")
    upgrade = aoc("upgrade", target, "--format", "html", **allowed).out
    history = aoc("history", target, "--format", "html").out

    assert "<caption>" + f"{target}: duplicates by vendor</caption>" in audit
    parts = ("rules", "indexes", "documents by number of revisions", "what upgrade ran", "largest chains")
    for caption in (*parts, "latest runs"):
        assert f"<caption>{target}: {caption}</caption>" in upgrade
    assert f"<caption>{target}: runs</caption>" in history
    assert all(Reader(text).problems == [] for text in (audit, upgrade, history))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(width: int, tmp_path: Path) -> None:
    """In Chromium no script runs, no request leaves, and nothing is wider than the window, at phone width too."""
    path, outer = tmp_path / "report.html", tmp_path / "outer.html"
    path.write_text(drawn(hostile(30)), encoding="utf-8")
    measure = (
        "frame.onload = () => { const d = frame.contentDocument; document.title = JSON.stringify({"
        "wide: d.documentElement.scrollWidth, scripts: d.scripts.length, "
        "loaded: frame.contentWindow.performance.getEntriesByType('resource').length, "
        "styled: getComputedStyle(d.body).maxWidth}) }"
    )
    frame = f"<iframe id=frame src=report.html width={width} height=800 style='border:0'></iframe>"
    outer.write_text(f"{frame}<script>{measure}</script>", encoding="utf-8")
    ran = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--virtual-time-budget=3000",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width + 50},900",
            "--dump-dom",
            outer.as_uri(),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )

    found = json.loads(re.findall("<title>(.*?)</title>", ran.stdout)[0])
    assert found["wide"] <= width
    assert (found["scripts"], found["loaded"]) == (0, 0)
    assert found["styled"] != "none"
