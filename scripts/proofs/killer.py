"""Runs tests on one mutant after another, each in a fork of a process that has the libraries imported.

It reads orders from stdin and answers on stdout, one line of JSON each, in a copy of the checkout: file,
source, the tests in their order, and the seconds that each may take. Only the tests' own and our own modules
are imported in the fork, so they come from the copy, and the mutant is what every process of a test runs.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

LIBRARIES = (
    "alembic.command", "click", "hypothesis", "jinja2", "prometheus_client", "psycopg.types.json",
    "psycopg_binary", "pytest_postgresql.plugin", "rich.console", "sqlalchemy.dialects.postgresql.psycopg", "yaml",
)  # fmt: skip
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"


class First:
    """A plugin of pytest that notes the first test that fails, and fails the one that takes too long."""

    def __init__(self, answer: Path, limits: dict[str, float]) -> None:
        self.answer, self.limits, self.ran = answer, limits, 0

    def note(self, outcome: str, by: str = "", why: str = "") -> None:
        """Write what is known by now; only the first failure counts."""
        known = {"outcome": outcome, "by": by, "why": why, "ran": self.ran}
        self.answer.write_text(json.dumps(known), encoding="utf-8")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Give the test its time; a mutant that makes it wait for ever is killed too."""
        signal.signal(signal.SIGALRM, lambda *_: self._late(item.nodeid))
        signal.alarm(round(self.limits[item.nodeid]))
        self.ran += 1
        try:
            return (yield)
        finally:
            signal.alarm(0)

    def _late(self, test: str) -> None:
        self.note(KILLED, test, "it did not end")
        os._exit(1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that failed."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.note(KILLED, report.nodeid, str(crash.message if crash else report.longrepr)[:300])


def end_with_parent() -> None:
    """Have Linux kill this process when its parent dies, so that an interrupted run leaves nothing behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def attempt(order: dict[str, Any], answer: Path) -> None:
    """Run the tests of an order, in a process group that ends with this attempt."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        end_with_parent()
        log = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        plugin = First(answer, order["tests"])
        code = pytest.main(["-x", "-q", "--tb=short", "-p", "no:randomly", *order["tests"]], plugins=[plugin])
        if code == pytest.ExitCode.OK:
            plugin.note(SURVIVED)
        elif code != pytest.ExitCode.TESTS_FAILED:
            plugin.note(KILLED, f"pytest: {pytest.ExitCode(code).name}")
        os._exit(0)
    os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Serve orders until stdin ends."""
    end_with_parent()
    for name in LIBRARIES:
        importlib.import_module(name)
    answer = Path(sys.argv[1])
    for line in sys.stdin:
        order, begun = json.loads(line), time.monotonic()
        file = Path(order["file"])
        original = file.read_text(encoding="utf-8")
        answer.write_text(json.dumps({"outcome": BROKEN}), encoding="utf-8")
        try:
            _write(file, order["source"])
            attempt(order, answer)
        finally:
            _write(file, original)
        known = json.loads(answer.read_text(encoding="utf-8"))
        print(json.dumps(known | {"seconds": round(time.monotonic() - begun, 1)}), flush=True)


def _write(file: Path, text: str) -> None:
    """Replace a module, and what Python keeps of it: it compares times in whole seconds only."""
    file.write_text(text, encoding="utf-8")
    for compiled in file.parent.glob(f"__pycache__/{file.stem}.*.pyc"):
        compiled.unlink()


if __name__ == "__main__":
    main()
