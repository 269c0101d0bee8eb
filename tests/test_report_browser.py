"""The HTML report in Chromium: no script, no request, no wider than the window, in both schemes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.test_report_html import drawn, hostile

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

SCHEMES = {"dark": ("0", "rgb(13, 17, 23)"), "light": ("1", "rgb(255, 255, 255)")}
MEASURE = """
frame.onload = () => {
  const d = frame.contentDocument, w = frame.contentWindow;
  for (const details of [...d.querySelectorAll("details")].slice(0, 100)) details.open = true;
  document.title = JSON.stringify({
    wide: d.documentElement.scrollWidth,
    outside: [...d.querySelectorAll("section *")].slice(0, 2000).filter((e) => !e.closest(".scroll")
      && e.getBoundingClientRect().right > d.documentElement.clientWidth).length,
    scripts: d.scripts.length,
    loaded: w.performance.getEntriesByType("resource").length,
    places: d.querySelectorAll(".places > li").length,
    ground: w.getComputedStyle(d.body).backgroundColor,
    shown: w.getComputedStyle(d.querySelector("article")).display,
  });
};
"""


def measured(page: str, folder: Path, width: int, scheme: str = "light") -> Any:
    """Return what Chromium says of a page in a frame of this width, its first hundred details open."""
    return in_frame(page, MEASURE, folder, width, scheme)


def in_frame(page: str, script: str, folder: Path, width: int, scheme: str = "light") -> Any:
    """Return the JSON that a script writes to the title about a page in a frame of this width."""
    (folder / "report.html").write_text(page, encoding="utf-8")
    return framed("report.html", script, folder, width, scheme)


def framed(address: str, script: str, folder: Path, width: int, scheme: str = "light") -> Any:
    """Return the JSON that a script writes to the title about what is at an address, in a frame of this width."""
    frame = f"<iframe id=frame src='{address}' width={width} height=800 style='border:0'></iframe>"
    (folder / "outer.html").write_text(f"{frame}<script>{script}</script>", encoding="utf-8")
    ran = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            f"--blink-settings=preferredColorScheme={SCHEMES[scheme][0]}",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width + 50},900",
            "--virtual-time-budget=3000",
            "--dump-dom",
            (folder / "outer.html").as_uri(),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    return json.loads(re.findall("<title>(.*?)</title>", ran.stdout)[0])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [390, 1200])
def test_hostile_text_runs_and_fetches_nothing(width: int, scheme: str, tmp_path: Path) -> None:
    """No script is there, no request leaves, and only tables in their own containers are wider than the window."""
    found = measured(drawn(hostile(30), hostile(2)), tmp_path, width, scheme)

    assert found["wide"] <= width
    assert found["outside"] == 0
    assert (found["scripts"], found["loaded"]) == (0, 0)
    assert (found["ground"], found["shown"]) == (SCHEMES[scheme][1], "block")


def test_ten_thousand_findings_open_on_a_phone(tmp_path: Path) -> None:
    """Ten thousand findings open at phone width."""
    found = measured(drawn(hostile(10_000)), tmp_path, 390)

    assert found["places"] == 10_000
    assert found["wide"] <= 390
