"""The HTML report: self-contained, safe whatever is in it, readable by people and by machines."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from aoc_migrate.report.facts.chains import ChainFacts
from aoc_migrate.report.facts.dashboard import StatusFacts
from aoc_migrate.report.facts.raw_rows import AuditFacts, VendorDuplicates
from aoc_migrate.report.facts.running import Running
from aoc_migrate.report.facts.runs import HistoryFacts
from aoc_migrate.report.facts.target_state import CatalogFacts
from aoc_migrate.report.html import page, style
from aoc_migrate.report.model import Finding, Next, Report, StepReport
from tests.conftest import Aoc, Database
from tests.test_report_text import run_of

HOSTILE = (
    "</td><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>\"'&"
    "</style><style>*{display:none}</style>\x1b[2J\u202e\u2066\u200b\u061c\U000e0041"
)
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: elements, their attributes, text, and whatever is not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self.words)
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
        self.words.append(data)

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
    facts = (
        HistoryFacts((run_of(HOSTILE),)),
        CatalogFacts({HOSTILE: HOSTILE, "keys_v1": "missing"}, {}),
        StatusFacts(1, (HOSTILE,), HOSTILE, 1, HOSTILE, {HOSTILE: 1}, (Running(HOSTILE),)),
        ChainFacts(6, 1, {"1": 5, "2": 1}, (), ()),
        AuditFacts(duplicates_by_vendor=(VendorDuplicates(HOSTILE, 1, 2),)),
    )
    steps = [StepReport(HOSTILE, waited_ms=1.0, held_ms=2.5)]
    found = [finding(n, sample=[{"id": HOSTILE}] if n % 2 else finding().sample) for n in range(findings)]
    following = Next(HOSTILE, (HOSTILE,), HOSTILE)
    return Report("concelier", "concelier_0008", None, findings=found, facts=facts, steps=steps, next=following)


def drawn(*reports: Report) -> str:
    """Return the page of some reports."""
    return page("audit", list(reports), 1)


def test_nothing_from_outside_becomes_markup() -> None:
    """Hostile words stay text: no element, attribute or control character comes out of them."""
    text = drawn(hostile(2))
    reader = Reader(text)

    assert reader.problems == []
    assert {"script", "img"} & {name for name, _ in reader.elements} == set()
    assert reader.text.count("alert(1)") >= 12
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)
    assert len(reader.named("style")) == 1
    assert {character for character in text if not character.isprintable()} == {"\n"}


def test_the_page_fetches_nothing() -> None:
    """The page names no address but its own anchors, each of which exists, and its policy forbids the rest."""
    reader = Reader(drawn(hostile(), hostile()))

    places = [a[key] for _, a in reader.elements for key in ("src", "href", "action", "data") if key in a]
    anchors = {f"#{a['id']}" for _, a in reader.elements if "id" in a}
    assert {"#report", "#target-0", "#target-1", "#target-1-duplicate-key", "#rule-duplicate-key"} <= set(places)
    assert set(places) <= anchors
    assert {"link", "iframe", "object", "form"} & {name for name, _ in reader.elements} == set()
    policies = [m["content"] for m in reader.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; style-src 'sha256-")


def test_the_page_works_without_eyes_or_mouse() -> None:
    """One h1, headings without gaps, captions and scopes in every table, each scrolling part in the tab order."""
    reader = Reader(drawn(hostile(), hostile()))
    levels = [int(name[1]) for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]

    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(reader.named("caption")) == len(reader.named("table"))
    assert len(reader.named("figcaption")) == len(reader.named("figure")) == 2
    assert all(th.get("scope") for th in reader.named("th"))
    scrolling = [a for _, a in reader.elements if a.get("class") == "scroll"]
    assert len(scrolling) == len(reader.named("table")) + len(reader.named("figure"))
    assert all(a["tabindex"] == "0" and a["role"] == "group" and a["aria-label"] for a in scrolling)
    assert reader.named("html")[0]["lang"] == "en"
    assert len(reader.named("main")) == 1


def test_ids_are_unique() -> None:
    """Whatever the targets are called, ids are words, no two the same, and each heading names its section."""
    reports = [hostile(), hostile(), hostile()]
    for report, name in zip(reports, ("concelier", "report", "a folder/x"), strict=True):
        report.target = name
    reader = Reader(drawn(*reports))
    ids = [str(a["id"]) for _, a in reader.elements if "id" in a]

    assert len(ids) == len(set(ids)) > 10
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in ids)
    assert {a["aria-labelledby"] for a in reader.named("section")} <= {a["id"] for a in reader.named("h2")}


def luminance(color: str) -> float:
    """Return the relative luminance of #rrggbb, as WCAG defines it."""
    values = [int(part, 16) / 255 for part in re.findall("..", color.lstrip("#"))]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return sum(factor * v for factor, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_every_text_has_enough_contrast(scheme: str) -> None:
    """Every color of text has a contrast of 4.5 to 1 (WCAG AA) on paper and on sheet, in every scheme."""
    roots = re.findall(r":root \{(.*?)\}", style(), re.DOTALL)
    pairs = re.findall(r"--(\w+): (#\w+)", roots[["light", "dark", "print"].index(scheme)])
    colors = {name: "#" + "".join(c * 2 for c in value[1:]) if len(value) == 4 else value for name, value in pairs}
    grounds = [luminance(colors.pop(name)) for name in ("paper", "sheet")]
    del colors["line"]

    used = re.findall(r"[^-]color: var\(--(\w+)\)", style())
    assert set(used) - {"paper"} <= set(colors)
    assert used.count("paper") == 1  # of a verdict, whose ground has a color that is text elsewhere
    for name, color in colors.items():
        for ground in grounds:
            dark, light = sorted([ground, luminance(color)])
            assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def test_a_page_without_findings_says_so() -> None:
    """Without findings the page says so."""
    reader = Reader(drawn(Report("concelier")))

    assert "None." in reader.text
    assert reader.problems == []


def test_nothing_is_shown_by_color_alone() -> None:
    """Severities and states that are colored are words and signs too; a bar and a column have their numbers."""
    text = drawn(hostile())

    marks = re.findall(r'<strong class="mark (\w+)"><span aria-hidden="true">(.)</span> ([^<]+)</strong>', text)
    assert {("error", "✕", "error"), ("error", "✕", "missing")} <= set(marks)
    assert len(marks) == text.count('class="mark ')
    assert all({"error": "✕", "warning": "!", "info": "i", "ok": "✓"}[kind] == sign for kind, sign, _ in marks)
    assert re.findall(r'<span class="said">([^<]+)</span>', text) == ["3.5 ms: 1 ms waiting, 2.5 ms holding"]
    assert re.findall(r'<span class="number">([^<]+)</span>', text) == ["5", "1"]


def test_the_exit_code_is_explained_in_words() -> None:
    """A target that was not reached has no revision; the exit code is explained."""
    unreached = Report("concelier", "concelier_0008", findings=[finding(exit_code=3)])

    text = Reader(page("audit", [unreached, Report("excititor", "e", reached=True)], 3)).text

    assert "Revision unknown (head concelier_0008)." in text
    assert "Revision base (head e)." in text
    assert "exit code 3: try again later" in text


@pytest.mark.nightly
def test_ten_thousand_findings_make_a_whole_page() -> None:
    """Ten thousand findings make a whole page, and a sample shows 50 rows and how many more there are."""
    many = hostile(10_000)
    many.findings[0] = finding(sample=[{"id": n, "count": 2} for n in range(200)])
    many.findings[1] = finding(sample=[{"id": n} for n in range(51)])

    reader = Reader(drawn(many))

    assert reader.problems == []
    assert len(reader.text.split("alert(1)")) > 10_000
    assert len([a for a in reader.named("li") if not a]) > 10_000
    assert "200 rows, 150 of them only in the JSON" in reader.text
    assert "51 rows, 1 of them only in the JSON" in reader.text


def test_the_page_shows_every_fact_of_the_command(
    target_with_chain: Database, aoc: Aoc, retrofit: dict[str, str]
) -> None:
    """Audit shows duplicates by vendor; upgrade rules, indexes and steps; verify depths; history the runs."""
    for n in range(3):
        target_with_chain.add(f"twice{n}", upstream_id="twice", content_hash="twice")
    target = target_with_chain.target
    audit = aoc("audit", target, "--format", "html").out
    target_with_chain.run(f"DELETE FROM {target_with_chain.table} WHERE id ~ 'twice'")
    upgrade = aoc("upgrade", target, "--format", "html", **retrofit).out
    verify, history = (aoc(command, target, "--format", "html").out for command in ("verify", "history"))

    assert "<caption>" + f"{target}: duplicates by vendor</caption>" in audit
    for caption in ("rules", "indexes", "steps in order", "latest runs", "what was checked"):
        assert f"<caption>{target}: {caption}</caption>" in upgrade
    assert "<caption>" + f"{target}: checks</caption>" not in upgrade
    assert f"<caption>{target}: largest chains</caption>" in verify
    assert f"<figcaption>{target}: documents by number of revisions</figcaption>" in verify
    assert f'<ol class="blocks" aria-label="{target}: runs">' in history
    assert all(Reader(text).problems == [] for text in (audit, upgrade, verify, history))
