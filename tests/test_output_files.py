"""The files of --output and --metrics: checked first without being opened, and opened once."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Aoc, Database
from tests.test_audit_output import timeless


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A named pipe."""
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_dash_is_stdout(excititor: Database, aoc: Aoc, tmp_path: Path) -> None:
    """--output - prints what no --output prints, and makes no file of that name."""
    aoc.configure(excititor)
    command = [sys.executable, "-m", "aoc_migrate", "status", "--output", "-"]

    ran = subprocess.run(command, env=aoc.env(), cwd=tmp_path, capture_output=True, text=True, check=True)

    assert (timeless(ran.stdout), list(tmp_path.iterdir())) == (timeless(aoc("status").out), [])
    assert aoc("plan", "--sql", "--output", "-").out == aoc("plan", "--sql").out


@pytest.mark.parametrize("words", [["audit"], ["plan", "--sql"]])
def test_a_fifo_gets_the_whole_output(words: list[str], fifo: Path, excititor: Database, aoc: Aoc) -> None:
    """A reader that was there first gets everything in one piece, because the FIFO is opened once."""
    aoc.configure(excititor)
    reader = subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE, text=True)

    ran = aoc(*words, "--output", str(fifo))
    read = reader.communicate(timeout=30)[0]

    assert (ran.exit_code, ran.out, timeless(read)) == (0, "", timeless(aoc(*words).out))


def test_a_fifo_waits_for_its_reader_after_the_work(fifo: Path, excititor: Database, aoc: Aoc) -> None:
    """Without a reader, the work is done first; then the command says what it waits for, and can be ended."""
    aoc.configure(excititor)
    process = aoc.start("upgrade", "--output", str(fifo))
    try:
        assert process.stderr is not None
        assert any("waiting for a reader" in line for line in process.stderr)
        assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0007"

        assert "PASSED" in fifo.read_text(encoding="utf-8")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("x" * 300, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
        ("new/", "its folder does not exist"),
        ("file/report", "Not a directory"),
        ("socket", "it is a socket"),
        ("", "the name is empty"),
    ],
)
def test_an_impossible_file_is_refused_first(
    name: str, problem: str, excititor: Database, aoc: Aoc, tmp_path: Path
) -> None:
    """A file that cannot be written is refused with the reason before the work begins."""
    aoc.configure(excititor)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))

        ran = aoc("upgrade", "--output", f"{tmp_path}/{name}" if name else "")

    assert (ran.exit_code, problem in ran.err) == (2, True), ran.err
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None


def test_metrics_do_not_go_to_stdout(excititor: Database, aoc: Aoc) -> None:
    """--metrics - is refused, because stdout has the report."""
    aoc.configure(excititor)

    ran = aoc("status", "--metrics", "-")

    assert (ran.exit_code, "--metrics takes a file" in ran.err) == (2, True)


@pytest.mark.parametrize(("words", "code"), [(["status"], 2), (["upgrade"], 4)])
def test_a_full_disk_loses_no_report(words: list[str], code: int, excititor: Database, aoc: Aoc) -> None:
    """If the file cannot take the report once the work is done, stdout gets it, with the exit code that fits."""
    aoc.configure(excititor)

    ran = aoc(*words, "--format", "json", "--output", "/dev/full")

    assert (ran.exit_code, ran.json["exit_code"]) == (code, code)
    assert "/dev/full could not be written: No space left on device" in ran.err


def test_a_full_disk_costs_a_script(excititor: Database, aoc: Aoc) -> None:
    """A script that a file could not take is exit code 2 and one sentence."""
    aoc.configure(excititor)

    ran = aoc("plan", "--sql", "--output", "/dev/full")

    assert (ran.exit_code, ran.out) == (2, "")
    assert "/dev/full could not be written: No space left on device" in ran.err


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
