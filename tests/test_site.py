"""The documentation as a site: linked, the same each time, readable and searchable without a network."""

import fcntl
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aoc_migrate.cli import COMMANDS, cli
from aoc_migrate.report.messages import MESSAGES
from tests.conftest import ROOT
from tests.test_docs import blocks, commands, docs
from tests.test_report_browser import CHROMIUM, framed

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

FOUND = """
frame.onload = () => setTimeout(() => {
  const links = [...frame.contentDocument.querySelectorAll("#search-results li > a")];
  document.title = JSON.stringify(links.map((a) => a.href.replace(/.*[/]site[/]/, "").replace(/[?][^#]*/, "")));
}, 2000);
"""
MEASURED = """
const pages = PAGES, found = {};
frame.onload = () => {
  const d = frame.contentDocument, w = frame.contentWindow;
  const inside = (e) => e.closest("pre, .table-wrapper, .sidebar-drawer, .toc-drawer, .visually-hidden");
  found[pages.shift()] = {
    wide: d.documentElement.scrollWidth > d.documentElement.clientWidth,
    outside: [...d.querySelectorAll("article *")].filter((e) => !inside(e)
      && e.getBoundingClientRect().right > d.documentElement.clientWidth).map((e) => e.outerHTML.slice(0, 80)),
    fetched: w.performance.getEntriesByType("resource").map((r) => r.name).filter((name) => !/^file:/.test(name)),
  };
  document.title = JSON.stringify(found);
  if (pages.length) frame.src = pages[0];
};
"""
WRONG = {
    "README.md": "# A program\n\n[All pages](docs/README.md)\n",
    "docs/README.md": "# Documentation\n\n## Words\n\n| page |\n| --- |\n| [V](verbs.md) |\n| [W](words.md) |\n",
    "docs/words.md": "# Words\n\n[one](README.md#nowhere)\n\n[two](../scripts)\n\n![three](picture.svg)\n",
    "docs/more.md": "# More\n",
}
"""A checkout whose pages are wrong in five ways."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once for all processes of a run, without a warning."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "site").exists():
            ran = docs(ROOT, "--site", str(shared / "site"))
            assert (ran.returncode, ran.stderr) == (0, "")
            assert ran.stdout == f"{shared.resolve()}/site/index.html\n"
    return shared / "site"


class Page(HTMLParser):
    """What a page of the site loads, where its links lead, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name == "href" and tag == "a":
                self.links.add(value or "")
            elif name in {"src", "srcset", "href", "data", "poster", "action"}:
                self.loads.add(value or "")


@pytest.mark.nightly
def test_the_site_is_the_same_each_time(site: Path, tmp_path: Path) -> None:
    """The same checkout makes the same bytes, also in place of an older site."""
    again = tmp_path / "again"
    again.mkdir()
    for stale in ("objects.inv", "stale.html"):
        (again / stale).write_text("", encoding="utf-8")

    assert docs(ROOT, "--site", str(again)).returncode == 0

    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (site, again)
    )
    assert [*first.keys() ^ second.keys()] == []
    assert [path for path, content in first.items() if content != second[path]] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Every script, style sheet, font and picture of the site is a file of the site."""
    loads = {(page, load) for page in site.rglob("*.html") for load in Page(page).loads}
    styles = {
        (sheet, found)
        for sheet in site.rglob("*.css")
        for found in re.findall(r"""(?:url\(|@import\s)\s*["']?([^"')]+)""", sheet.read_text(encoding="utf-8"))
        if not found.startswith("data:")
    }

    assert len(loads) > 100
    for page, load in loads | styles:
        file = load.partition("#")[0].partition("?")[0]
        assert not file or (page.parent / file).exists(), f"{page}: {load}"


def test_every_finding_has_an_anchor_and_every_command_a_section(site: Path) -> None:
    """docs/rules.html has an anchor for each slug; each command has its page, and on it its subcommands."""
    assert {*MESSAGES} <= Page(site / "docs" / "rules.html").anchors

    pages = {path.stem: Page(path).anchors for path in (site / "docs" / "cli").glob("*.html")}
    assert {*pages} == {*COMMANDS}
    for words, _ in commands(cli):
        assert "-".join(["aoc-migrate", *words]) in pages[words[0]]


def test_the_rooms_are_drawn(site: Path) -> None:
    """The picture of the rooms, which is Mermaid in the checkout, is an SVG with the same boxes and arrows."""
    (chart,) = blocks((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), "mermaid")
    page = (site / "docs" / "architecture.html").read_text(encoding="utf-8")
    (picture,) = re.findall(r'(?s)<svg class="flowchart".*?</svg>', page)

    assert "flowchart TD" not in page
    assert {*re.findall(r'\["(.+)"\]', chart)} == {*re.findall(r"<text [^>]*>(.+?)</text>", picture)} - {"op"}
    assert len(re.findall(r" -->| \.->", chart)) == picture.count("marker-end")


def test_the_first_page_leads_everywhere(site: Path) -> None:
    """The quick start is on the first page, and every other page is one click from there."""
    first = Page(site / "index.html")
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")} - {"index.html", "search.html"}

    assert "quick-start" in first.anchors
    assert {"docs/window.html", "docs/cli.html", "deploy/helm/aoc-migrate/index.html"} <= pages
    assert pages - {link.partition("#")[0] for link in first.links} == set()


def test_whatever_is_wrong_is_named_by_page_and_line(tmp_path: Path) -> None:
    """A link that leads nowhere, and a page that is missing or not listed, fail the build; the old site stays."""
    checkout, old = tmp_path / "checkout", tmp_path / "old"
    for page, text in WRONG.items():
        (checkout / page).parent.mkdir(parents=True, exist_ok=True)
        (checkout / page).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    old.mkdir()
    (old / "objects.inv").write_text("old", encoding="utf-8")

    ran = docs(checkout, "--site", str(old))

    assert ran.returncode == 1
    said = [line.partition(" WARNING: ") for line in ran.stderr.splitlines()]
    for where, what in (
        ("docs/words.md:3:", "'nowhere'"),
        ("docs/words.md:5:", "'../scripts'"),
        ("docs/words.md:7:", "picture.svg"),
        ("docs/README.md:7:", "'verbs.md'"),
        ("docs/more.md:", "isn't included in any toctree"),
    ):
        assert [line for line in said if line[0] == where and what in line[2]], ran.stderr
    assert [path.name for path in old.iterdir()] == ["objects.inv"]


def test_a_folder_with_anything_else_is_refused(tmp_path: Path) -> None:
    """A folder that is not empty and holds no site stays as it is; so does a file."""
    (tmp_path / "mine").write_text("mine", encoding="utf-8")

    for folder in (tmp_path, tmp_path / "mine"):
        ran = docs(ROOT, "--site", str(folder))
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith(f"scripts/docs: {folder}")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_help_says_all_and_unknown_words_are_refused() -> None:
    """scripts/docs --help has every option; a word that it does not know, or two ways at once, exit with 2."""
    shown = docs(ROOT, "--help")

    assert shown.returncode == 0
    assert {*re.findall(r"--\w+", shown.stdout)} == {"--help", "--check", "--site"}
    for words in (["--chekc"], ["here"], ["--check", "--site"]):
        assert docs(ROOT, *words).returncode == 2


@in_a_browser
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("missing-required", "docs/rules.html#missing-required"),
        ("plan-differs", "docs/rules.html#plan-differs"),
        ("rehearse", "docs/cli/rehearse.html"),
        ("cockroachdb", "docs/scale.html"),
        ("helm", "deploy/helm/aoc-migrate/index.html"),
    ],
)
def test_the_search_finds(words: str, page: str, site: Path, tmp_path: Path) -> None:
    """Opened as a file, the search finds a finding by its slug, a command by its name, and a page by its words."""
    found = framed(f"{(site / 'search.html').as_uri()}?q={words}", FOUND, tmp_path, 1200)

    assert page in [link.removesuffix("#") for link in found[:5]]


@in_a_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_pages_fit_the_window(width: int, site: Path, tmp_path: Path) -> None:
    """On a phone and on a desk, only tables and code are wider than the window, in frames that scroll."""
    pages = sorted(site.rglob("*.html"), key=lambda path: -path.stat().st_size)
    addresses = [page.as_uri() for page in pages[:12]]

    found = framed(addresses[0], MEASURED.replace("PAGES", json.dumps(addresses)), tmp_path, width)

    assert {address: measures for address, measures in found.items() if any(measures.values())} == {}
    assert [*found] == addresses
