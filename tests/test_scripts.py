"""The scripts of a checkout: the demo from its first line to its last, kept running, and interrupted."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers import wait_until
from tests.servers import guard


def demo(temporary: Path, printed: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the demo with a folder of its own for temporary files."""
    guard(temporary)
    with printed.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, f"{ROOT}/scripts/demo", *options],
            env=os.environ | {"TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def processes(folder: Path) -> list[str]:
    """Return the processes whose command line names a folder (on Linux; elsewhere none)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if str(folder) in line]


def test_the_demo_ends_and_leaves_its_report(tmp_path: Path) -> None:
    """The demo ends with exit code 0, on about three screens, and leaves only the evidence that it names."""
    temporary, printed = tmp_path / "t", tmp_path / "printed"
    temporary.mkdir()

    assert demo(temporary, printed).wait(timeout=300) == 0, printed.read_text(encoding="utf-8")

    text = printed.read_text(encoding="utf-8")
    assert len(re.findall(r"(?m)^\$ .*aoc-migrate ", text)) >= 10
    assert "is held at concelier_0007" in text
    report = Path(text.split()[-1])
    assert "<html" in report.read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if "…" not in line]) < 140
    assert processes(temporary) == []
    evidence = report.parent.parent
    assert [path for path in temporary.rglob("*") if path.is_file() and not path.is_relative_to(evidence)] == []


@pytest.mark.nightly
def test_a_kept_sandbox_goes_on(tmp_path: Path) -> None:
    """With --keep, the demo prints the two URLs and what to try, and its server runs until it is stopped."""
    temporary, printed = tmp_path / "t", tmp_path / "printed"
    temporary.mkdir()

    assert demo(temporary, printed, "--keep").wait(timeout=300) == 0, printed.read_text(encoding="utf-8")

    text = printed.read_text(encoding="utf-8")
    lines = [line for line in text.rpartition("To use it:")[2].splitlines() if line and not line.startswith("#")]
    assert len([line for line in lines if re.match(r"export \w+_DATABASE_URL=", line)]) == 2
    tried = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 0, tried.stderr
    assert "concelier_0008" in tried.stdout
    assert processes(temporary) == []


@pytest.mark.alike
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["sandbox start", "sandbox load concelier", "upgrade concelier"])
def test_an_interrupted_demo_leaves_nothing(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """Interrupted while the server starts, rows are loaded or a migration runs, it leaves nothing either."""
    temporary, printed = tmp_path / "t", tmp_path / "printed"
    temporary.mkdir()
    process = demo(temporary, printed)
    wait_until(lambda: moment in printed.read_text(encoding="utf-8"), seconds=120)

    process.send_signal(number)

    assert process.wait(timeout=60) == 128 + number
    assert processes(temporary) == []
    assert list(temporary.iterdir()) == []
