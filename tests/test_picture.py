"""The terminal in the README: drawn from what commands print, up to date, and nothing is loaded for it."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from scripts.pages.terminal import WIDTH, drawn, masked, shown, text_of
from tests.conftest import ROOT
from tests.test_report_browser import CHROMIUM

PICTURE = ROOT / "docs" / "picture.svg"
MEASURE = """
frame.onload = () => {
  const d = frame.contentDocument, edge = d.documentElement.getBoundingClientRect().right;
  document.title = JSON.stringify({
    loaded: frame.contentWindow.performance.getEntriesByType("resource").length,
    texts: d.querySelectorAll("text").length,
    outside: [...d.querySelectorAll("text")].filter((t) => t.getBoundingClientRect().right > edge).length,
  });
};
"""


@pytest.mark.nightly
def test_the_picture_shows_what_the_commands_print() -> None:
    """Drawn again, the picture has the same text, figures aside."""
    ran = subprocess.run(
        [sys.executable, ROOT / "scripts" / "picture", "--check"], check=False, capture_output=True, text=True
    )

    assert ran.returncode == 0, f"Draw it again: scripts/picture\n{ran.stdout}{ran.stderr}"


def test_the_picture_loads_nothing() -> None:
    """The picture is well-formed, names no address but that of its format, and fits the README."""
    text = PICTURE.read_text(encoding="utf-8")

    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert re.findall(r"(?:https?|data|file):[^\"' )]*", text) == ["http://www.w3.org/2000/svg"]
    assert not {"@import", "@font-face", "<script", "<image", "url(//"} & {
        *re.findall(r"@[\w-]+|<\w+|url\(//", text)
    }
    assert "](docs/picture.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_masked_and_words_are_not() -> None:
    """Two runs that differ only in figures have the same text; a different word is a difference."""
    one, other = "took  9 ms, 10,003 rows, 1.2 MB\n", "took 1.1 s, 9 rows, 980 kB\n"

    assert masked(one) == masked(other)
    assert masked(one) != masked(one.replace("rows", "lines"))


def test_lines_that_are_left_out_are_counted() -> None:
    """A picture shows the first lines in their colors, says how many follow, and escapes what is markup."""
    scene = shown("aoc-migrate audit", "\x1b[31mFAILED\x1b[0m\r\n<b> & more\r\n3\r\n4\r\n", most=2)

    svg = drawn([scene, Text("x" * WIDTH)], "A title")

    assert text_of(svg) == f"$ aoc-migrate audit\nFAILED\n<b> & more\n  … 2 more lines\n\n{'x' * WIDTH}"
    assert "&lt;b&gt;&#160;&amp;&#160;more" in svg
    assert "fill: #ff7b72" in svg


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_every_line_inside_the_picture(tmp_path: Path) -> None:
    """In Chromium no line leaves the picture, and no request leaves the browser."""
    (tmp_path / "picture.svg").write_text(PICTURE.read_text(encoding="utf-8"), encoding="utf-8")
    frame = "<iframe id=frame src=picture.svg width=860 height=1400 style='border:0'></iframe>"
    (tmp_path / "outer.html").write_text(f"{frame}<script>{MEASURE}</script>", encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom")
    command = [str(CHROMIUM), *options, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
    ran = subprocess.run(
        [*command, (tmp_path / "outer.html").as_uri()], capture_output=True, check=False, text=True, timeout=120
    )

    found: Any = json.loads(re.findall("<title>(.*?)</title>", ran.stdout)[0])

    assert found["texts"] > 20
    assert (found["loaded"], found["outside"]) == (0, 0)
