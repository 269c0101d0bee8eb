"""A plugin of pytest: coverage knows in every process which test it belongs to, and each test's time is kept."""

import importlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = "AOC_TEST_SECONDS"
"""The environment variable with the file for the seconds."""
_spent: dict[str, float] = defaultdict(float)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Name the test to coverage in this process, and in the environment of those that it starts."""
    running = importlib.import_module("coverage").Coverage.current()
    os.environ["COVERAGE_TEST"] = item.nodeid
    if running:
        running.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        os.environ.pop("COVERAGE_TEST", None)
        if running:
            running.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what a test and its fixtures take; one that failed or was skipped cannot speak for the code."""
    _spent[report.nodeid] += report.duration
    if not report.passed:
        _spent[report.nodeid] = float("inf")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the seconds of each test, once: in the process that hears of all of them."""
    if not hasattr(session.config, "workerinput"):
        file = Path(os.environ[SECONDS])
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        passed = {test: round(seconds, 2) for test, seconds in _spent.items() if seconds != float("inf")}
        file.write_text(json.dumps(known | passed, indent=0), encoding="utf-8")
