"""The commands of the sandbox."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from aoc_migrate.cli.sandbox import sandbox
from aoc_migrate.errors import Abort
from aoc_migrate.sandbox.server import Server
from tests.conftest import ROOT
from tests.helpers import wait_until
from tests.servers import guard


@pytest.fixture
def run_sandbox(prepared_server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the commands on the shared server, or on the one that AOC_SANDBOX_DIR names later."""
    monkeypatch.setenv("AOC_SANDBOX_DIR", str(prepared_server.folder))
    return lambda *words: CliRunner().invoke(sandbox, words)


def test_start_prints_two_exports(run_sandbox: Any, prepared_server: Server) -> None:
    """The shell can evaluate what start prints: two variables and nothing else."""
    result: Result = run_sandbox("start")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"export {name.upper()}_DATABASE_URL={prepared_server.url(name)}" for name in ("concelier", "excititor")
    ]
    assert "sandbox stop" in result.stderr


def test_status_reports_whether_the_server_runs(
    run_sandbox: Any, prepared_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status exits 0 with a running server and 3 without, in words and as JSON, and hides the password."""
    result = run_sandbox("status", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)["running"]) == (0, True)
    assert prepared_server.url("x").split(":")[2].split("@")[0] not in result.output

    monkeypatch.setenv("AOC_SANDBOX_DIR", str(tmp_path / "none"))
    assert (run_sandbox("status").exit_code, run_sandbox("status").stdout.split()[:2]) == (3, ["running", "no"])


def test_load_takes_a_target_a_file_or_both(
    run_sandbox: Any, prepared_server: Server, write_feed: Callable[..., Path]
) -> None:
    """Load takes a target, a file, or both, and says what it did."""
    feed = str(write_feed("feed.ndjson", {}, {"raw": "no"}))

    assert "advisory_raw: 1 rows loaded" in run_sandbox("load", feed, "--tenant", "cli", "--skip").stdout
    result = run_sandbox("load", "concelier", feed, "--tenant", "cli-2", "--skip")
    assert "1 lines skipped: the document is not JSON" in result.stdout
    result = run_sandbox("load", "--rows", "20", "--duplicates", "2", "--seed", "99")
    assert result.stdout.splitlines() == ["advisory_raw: 22 rows loaded", "vex_raw: 22 rows loaded"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["concelier"], "FILE or --rows"),
        (["concelier", "feed", "--rows", "3"], "Give either"),
        (["conselier", "feed"], "conselier is not a target"),
        (["concelier", "--rows", "3", "--skip"], "--skip"),
        (["concelier", "feed", "--seed", "3"], "--rows"),
    ],
)
def test_load_refuses_wrong_usage(run_sandbox: Any, words: list[str], hint: str) -> None:
    """Wrong usage is refused with what to type."""
    error = run_sandbox("load", *words).exception

    assert isinstance(error, Abort)
    assert hint in str(error)
    assert error.exit_code == 2


def test_load_without_a_server_says_how_to_start_it(
    run_sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a running server, load says how to start it."""
    monkeypatch.setenv("AOC_SANDBOX_DIR", str(tmp_path / "none"))
    error = run_sandbox("load", "concelier", "--rows", "3").exception

    assert isinstance(error, Abort)
    assert (error.exit_code, "sandbox start" in str(error)) == (3, True)


def test_stop_can_be_repeated_and_can_delete(
    run_sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop ends the server and may be repeated; --delete leaves nothing behind."""
    folder = tmp_path / "sb"
    guard(folder)
    monkeypatch.setenv("AOC_SANDBOX_DIR", str(folder))
    assert run_sandbox("start").exit_code == 0
    assert "has stopped" in run_sandbox("stop").stderr
    assert "was not running" in run_sandbox("stop").stderr
    assert run_sandbox("status").exit_code == 3
    assert run_sandbox("stop", "--delete").exit_code == 0

    assert not folder.exists()


@pytest.mark.parametrize("command", [[], ["start"], ["stop"], ["status"], ["load"]])
def test_help_has_an_example(run_sandbox: Any, command: list[str]) -> None:
    """Every help text shows a command to paste."""
    assert "Example:\n    " in run_sandbox(*command, "--help").stdout


def waits(pid: int) -> bool:
    """Whether a process leaves the processor to others for a while: psycopg wakes up ten times a second."""
    used = Path(f"/proc/{pid}/schedstat")  # nanoseconds first
    before = int(used.read_text(encoding="utf-8").split()[0])
    time.sleep(0.3)
    return int(used.read_text(encoding="utf-8").split()[0]) - before < 20_000_000


def test_a_load_ends_at_a_signal_with_one_line(prepared_server: Server) -> None:
    """A load whose server process does not answer ends at SIGTERM, and stderr has one sentence of ours."""
    environment = os.environ | {"AOC_SANDBOX_DIR": str(prepared_server.folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "aoc_migrate", "sandbox", "load", "concelier", "--rows", "1000000"]
    copying = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
    with psycopg.connect(prepared_server.url("concelier"), autocommit=True) as connection:
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: connection.execute(copying).fetchone() is not None)
        (backend,) = connection.execute(copying).fetchone() or (0,)
        os.kill(backend, signal.SIGSTOP)
        try:
            wait_until(lambda: waits(process.pid))
            process.terminate()
            err = process.communicate(timeout=60)[1]
        finally:
            os.kill(backend, signal.SIGCONT)

    assert (process.returncode, len(err.splitlines())) == (143, 1), err
