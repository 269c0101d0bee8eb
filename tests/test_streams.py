"""Streams that are closed, full, or read by nobody: what that costs, and what it does not."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Aoc, Database


def run_in_shell(aoc: Aoc, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell line in which $AOC is the command."""
    environment = aoc.env(AOC=f"{sys.executable} -m aoc_migrate")
    return subprocess.run(
        ["sh", "-c", line], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def into_a_closed_pipe(aoc: Aoc, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with a pipe as its stdout that nobody reads."""
    unread, stdout = os.pipe()
    os.close(unread)
    try:
        return subprocess.run(
            [sys.executable, "-m", "aoc_migrate", *words],
            env=aoc.env(),
            cwd=ROOT,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(stdout)


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_an_unwritable_stderr_costs_no_report(stream: str, excititor: Database, aoc: Aoc) -> None:
    """Log lines that cannot be written are lost; report and exit code are those of any other run."""
    aoc.configure(excititor)

    assert run_in_shell(aoc, f"$AOC upgrade {stream}").returncode == 0
    ran = run_in_shell(aoc, f"$AOC verify --format json {stream}")

    assert (ran.returncode, '"ok": true' in ran.stdout) == (0, True)
    assert run_in_shell(aoc, f"$AOC nope {stream}").returncode == 2


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_stock_alembic_survives_an_unwritable_stderr(stream: str, excititor: Database, aoc: Aoc) -> None:
    """Alembic's own command line migrates to head although not one line of our log can be written."""
    excititor.add("1")
    aoc.configure(excititor)

    ran = run_in_shell(aoc, f"{sys.executable} -m alembic -n excititor upgrade head {stream}")

    assert ran.returncode == 0
    assert excititor.value("SELECT version_num FROM aoc_alembic_version") == "excititor_0007"


@pytest.mark.parametrize(
    "words", ["--help", "--version", "audit --help", "status", "plan --sql", "sandbox status"]
)
@pytest.mark.parametrize(
    ("stdout", "reason"), [(">/dev/full", "No space left on device"), (">&-", "closed")], ids=["full", "closed"]
)
def test_a_lost_answer_is_a_failure(words: str, stdout: str, reason: str, excititor: Database, aoc: Aoc) -> None:
    """What cannot be written to stdout is exit code 2 and one sentence with the reason, if nothing changed."""
    aoc.configure(excititor)

    ran = run_in_shell(aoc, f"$AOC {words} {stdout}")

    assert (ran.returncode, reason in ran.stderr, len(ran.stderr.splitlines())) == (2, True, 1), ran.stderr


def test_a_lost_report_of_a_change_is_exit_4(excititor: Database, aoc: Aoc) -> None:
    """A run that changed something and cannot write its report ends with 4, and has changed what it should."""
    aoc.configure(excititor)

    ran = run_in_shell(aoc, "$AOC upgrade > /dev/full")

    assert (ran.returncode, "stdout could not be written: No space left on device" in ran.stderr) == (4, True)
    assert aoc.json("verify").report["revision"] == "excititor_0007"
    assert run_in_shell(aoc, "$AOC upgrade > /dev/full").returncode == 2  # it had nothing to do


def test_a_closed_stdout_is_found_before_the_work(excititor: Database, aoc: Aoc) -> None:
    """Without a stdout, a run is refused before it changes anything, unless its report goes to a file."""
    aoc.configure(excititor)

    refused = run_in_shell(aoc, "$AOC upgrade >&-")
    assert (refused.returncode, "Use --output FILE" in refused.stderr) == (2, True)
    assert excititor.value("SELECT to_regclass('aoc_alembic_version')") is None

    assert run_in_shell(aoc, "$AOC upgrade --output /dev/null >&-").returncode == 0
    lost = run_in_shell(aoc, "$AOC status --output /dev/full >&-")
    assert (lost.returncode, "The report is lost: stdout cannot take it either" in lost.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("status", 0),
        ("audit", 1),
        ("verify --require-head --format json", 1),
        ("plan --sql", 0),
        ("--help", 0),
        ("nope", 2),
    ],
)
def test_a_closed_pipe_is_no_error(words: str, code: int, excititor: Database, aoc: Aoc) -> None:
    """If nobody reads the output, the exit code is the command's own, and nobody complains."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)
    assert aoc("upgrade", "excititor_0001").exit_code == 0

    ran = into_a_closed_pipe(aoc, *words.split())

    assert (ran.returncode, "aoc-migrate: " in ran.stderr) == (code, False), ran.stderr


def test_a_report_that_nobody_read_does_not_count_as_seen(excititor: Database, aoc: Aoc) -> None:
    """A relative downgrade whose report went into a closed pipe is not repeated by the same command."""
    aoc.configure(excititor)
    assert aoc("upgrade").exit_code == 0

    assert into_a_closed_pipe(aoc, "downgrade", "-1").returncode == 0
    again = aoc.json("downgrade", "-1")

    assert (again.report["revision"], "already-finished" in again.slugs()) == ("excititor_0006", True)


def test_an_export_ends_when_nobody_reads_on(excititor: Database, aoc: Aoc, retrofit: dict[str, str]) -> None:
    """An export into a closed pipe stops there, as head expects of it, and is no failure."""
    excititor.add("bad", tenant=None)
    aoc.configure(excititor)
    assert aoc("repair", "--rule", "all", "--apply").exit_code == 0

    ran = into_a_closed_pipe(aoc, "quarantine", "--export", "-")

    assert (ran.returncode, ran.stderr) == (0, "")
