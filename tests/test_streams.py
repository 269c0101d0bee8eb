"""Streams that cannot be written, and files that must not be: neither decides what a run does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Aoc, Database


def run_in_shell(aoc: Aoc, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell line in which $AOC is the command."""
    environment = aoc.env(AOC=f"{sys.executable} -m aoc_migrate")
    return subprocess.run(
        ["sh", "-c", line], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_an_unwritable_stderr_costs_no_report(stream: str, excititor: Database, aoc: Aoc) -> None:
    """Log lines that cannot be written are lost; report and exit code are those of any other run."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    ran = run_in_shell(aoc, f"$AOC verify --format json {stream}")

    assert (ran.returncode, '"ok": true' in ran.stdout) == (0, True)
    assert run_in_shell(aoc, f"$AOC nope {stream}").returncode == 2


def test_a_full_stdout_is_reported(excititor: Database, aoc: Aoc) -> None:
    """A report that cannot be written to stdout is exit code 4 and one sentence with the reason."""
    aoc.configure(excititor)

    ran = run_in_shell(aoc, "$AOC status > /dev/full")

    assert (ran.returncode, "stdout could not be written: No space left on device" in ran.stderr) == (4, True)


@pytest.mark.parametrize("option", ["--output", "--metrics"])
def test_a_refused_command_leaves_no_file(option: str, aoc: Aoc, tmp_path: Path) -> None:
    """A command that is refused creates none of the files that it was to write."""
    file = tmp_path / "report"

    assert aoc("upgrade", option, str(file)).exit_code == 2

    assert not file.exists()


@pytest.mark.parametrize("place", ["/dev/null", "fifo", "link"])
def test_metrics_replace_only_regular_files(place: str, excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """--metrics refuses devices and pipes, also behind a link, and leaves them as they are."""
    aoc.configure(excititor)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    path = tmp_path / place

    ran = aoc("status", "--metrics", str(path))

    assert (ran.exit_code, "is not a regular file" in ran.err) == (2, True)
    assert not path.is_file()
