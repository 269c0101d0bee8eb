"""The layout of the HTML report, measured in Chromium on pages of real runs."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from aoc_migrate.report.html import page
from aoc_migrate.report.model import Report, StepReport
from tests.conftest import Aoc, Database
from tests.helpers import fill
from tests.test_evidence import only_run, read
from tests.test_report_browser import CHROMIUM, in_frame
from tests.test_report_html import hostile

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

COLORS = """
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
  return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
const ground = (w, e) => { for (; e; e = e.parentElement) {
  const c = w.getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; }
  return "rgb(255, 255, 255)"; };
const contrast = (w, e) => { const [a, b] = [w.getComputedStyle(e).color, ground(w, e)].map(luminance).sort();
  return (b + 0.05) / (a + 0.05); };
"""
MEASURE = (
    COLORS
    + """
frame.onload = () => {
  const d = frame.contentDocument, w = frame.contentWindow, box = (e) => e.getBoundingClientRect();
  const name = (e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`;
  const closed = [...d.querySelectorAll("details:not([open]) > pre, details:not([open]) .ids")];
  const folded = closed.filter((e) => e.checkVisibility()).length;
  for (const details of d.querySelectorAll("details")) details.open = true;
  for (const place of d.querySelectorAll(".places > li")) place.style.contentVisibility = "visible";
  const all = [...d.body.querySelectorAll("*:not(svg *):not(.skip)")];
  const free = all.filter((e) => !e.matches(".scroll, caption"));
  const texts = all.filter((e) => [...e.childNodes].some((n) => n.nodeType == 3 && n.data.trim()));
  document.title = JSON.stringify({
    wide: d.documentElement.scrollWidth,
    clipped: free.filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(name),
    outside: free.filter((e) => !e.parentElement.closest(".scroll")
      && box(e).right > box(e.parentElement).right + 1).map(name),
    hidden: free.filter((e) => ["hidden", "clip"].includes(w.getComputedStyle(e).overflowX)).map(name),
    faint: texts.filter((e) => contrast(w, e) < 4.5).map(name),
    folded: [folded, closed.length],
    blocks: [...d.querySelectorAll(".blocks > li")].map(
      (e) => [e.querySelectorAll(".ids li").length, box(e).height]),
    limits: [...d.querySelectorAll(".track .limit")].map((e) => box(e).left),
    bars: [...d.querySelectorAll(".track rect")].map((e) => box(e).right),
    tracks: d.querySelectorAll(".track").length,
    tabs: d.querySelectorAll("a[href], summary, [tabindex='0']").length,
  });
};
"""
)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The pages of the runs of this module, by command."""
    return {}


@pytest.fixture
def drawn(
    pages: dict[str, str], concelier: Database, aoc: Aoc, retrofit: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """The pages of the commands on one database, before and after its upgrade."""
    if pages:
        return pages
    fill(concelier, 200)
    for n in range(12):
        values = {"upstream_id": f"CVE-{n // 6}", "content_hash": "sha256:" + "a" * 64}
        concelier.add(f"advisory_raw:osv:a-rather-long-name-of-a-document:{n}:sha256-0123456789ab", **values)
    concelier.add("bad", tenant=None, source='{"severity": 1}')
    aoc.configure(concelier)
    for command in ("audit", "plan", "dedupe", "repair"):
        pages[command] = aoc(command, "--format", "html").out
    for words in (("repair", "--rule", "all"), ("dedupe",)):
        assert aoc(*words, "--apply").exit_code == 0
    evidence = tmp_path / "evidence"
    pages["upgrade"] = aoc("upgrade", "--format", "html", "--evidence", str(evidence), **retrofit).out
    pages["index"] = read(only_run(evidence) / "index.html")
    pages["overview"] = read(evidence / "index.html")
    for command in ("verify", "history", "quarantine", "status"):
        pages[command] = aoc(command, "--format", "html").out
    pages["hostile"] = page("audit", [hostile(40), hostile(2)], 1)
    return pages


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_its_box(width: int, drawn: dict[str, str], tmp_path: Path) -> None:
    """With every detail open, nothing is wider than its box, cut off or hidden; only tables scroll in theirs."""
    found = {name: in_frame(text, MEASURE, tmp_path, width) for name, text in drawn.items()}

    for what in ("clipped", "outside", "hidden"):
        assert {name: each[what] for name, each in found.items() if each[what]} == {}
    assert {name: each["wide"] for name, each in found.items() if each["wide"] > width} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable(scheme: str, drawn: dict[str, str], tmp_path: Path) -> None:
    """Every text has a contrast of 4.5 to 1 (WCAG AA) on the ground that it is drawn on."""
    for name, text in drawn.items():
        assert in_frame(text, MEASURE, tmp_path, 1200, scheme)["faint"] == [], name


def test_duplicates_are_compact(drawn: dict[str, str], tmp_path: Path) -> None:
    """A group of duplicates takes one line for each of its ids, and a few more for its key."""
    for command in ("audit", "dedupe"):
        blocks = in_frame(drawn[command], MEASURE, tmp_path, 1200)["blocks"]

        assert len(blocks) == 2
        assert all(ids >= 5 and height < 24 * (ids + 5) for ids, height in blocks), blocks


def test_the_limit_of_a_stall_is_drawn(drawn: dict[str, str], tmp_path: Path) -> None:
    """Each step has the limit at the same place, beyond the bars of stalls within it, and before longer ones."""
    found = in_frame(drawn["upgrade"], MEASURE, tmp_path, 1200)
    long = Report("concelier", parameters={"max_stall": 0.1})
    long.steps = [StepReport("fast", waited_ms=1, held_ms=2), StepReport("slow", waited_ms=90, held_ms=110)]
    slow = in_frame(page("upgrade", [long], 0), MEASURE, tmp_path, 1200)
    history = in_frame(drawn["history"], MEASURE, tmp_path, 1200)

    assert len(found["limits"]) == found["tracks"] >= 8
    assert len({*found["limits"]}) == 1
    assert 0 < max(found["bars"]) < found["limits"][0]
    assert max(slow["bars"]) > slow["limits"][0]
    assert "over the limit" in page("upgrade", [long], 0)
    assert (history["limits"], history["tracks"]) == ([], found["tracks"])  # of a run with limits of its own


def printed(text: str) -> str:
    """Return a page that looks on the screen as it looks in print."""
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    changed = style.replace("@media print", "@media screen")
    before, after = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (style, changed))
    assert before in text
    return text.replace(style, changed).replace(before, after)


def test_print_shows_what_is_folded(drawn: dict[str, str], tmp_path: Path) -> None:
    """On the screen, closed details are folded; in print, samples, queries and rules are there, readable."""
    screen: Any = in_frame(drawn["audit"], MEASURE, tmp_path, 800)
    paper: Any = in_frame(printed(drawn["audit"]), MEASURE, tmp_path, 800)

    assert screen["folded"][0] == 0
    assert paper["folded"][0] == paper["folded"][1] > 5


def test_nothing_is_cut_off_in_print(drawn: dict[str, str], tmp_path: Path) -> None:
    """On paper nothing scrolls: every table fits the width of A4, and every text is readable."""
    for name, text in drawn.items():
        found = in_frame(printed(text), MEASURE, tmp_path, 688, "dark")

        assert found["wide"] <= 688, name
        assert (found["clipped"], found["outside"], found["faint"]) == ([], [], []), name
