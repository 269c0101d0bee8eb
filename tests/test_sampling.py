"""What the suite leaves to the night, and that nothing else is left out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = """
import pytest

@pytest.mark.alike
@pytest.mark.parametrize("case", range(10))
def test_alike(case): pass

@pytest.mark.alike
@pytest.mark.parametrize("case", range(2))
def test_a_pair(case): pass

@pytest.mark.alike
def test_alone(): pass

@pytest.mark.parametrize("case", range(5))
def test_each(case): pass

@pytest.fixture(params=["concelier", "excititor"])
def target_with_chain(request): pass

def test_both(target_with_chain): pass

@pytest.mark.nightly
def test_at_night(): pass
"""


def passed(folder: Path, *words: str, **environment: str) -> dict[str, int]:
    """Return how many cases of each test pytest runs."""
    known = {k: v for k, v in os.environ.items() if k != "AOC_TEST_EVERYTHING"} | environment
    command = [sys.executable, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", *words]
    said = subprocess.run(command, cwd=folder, env=known, check=False, capture_output=True, text=True).stdout
    names = re.findall(r"(?m)^PASSED .*::(test_\w+)", said)
    return {name: names.count(name) for name in names}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder of tests with our hook."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(TESTS, encoding="utf-8")
    hook = (ROOT / "tests" / "sampling.py").read_text(encoding="utf-8")
    (tmp_path / "tests" / "conftest.py").write_text(hook, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  alike\n  nightly\ntestpaths = tests\n", "utf-8")
    return tmp_path


ALL = {"test_alike": 10, "test_a_pair": 2, "test_alone": 1, "test_each": 5, "test_both": 2, "test_at_night": 1}
SOME = {"test_alike": 2, "test_a_pair": 1, "test_alone": 1, "test_each": 5, "test_both": 1}


@pytest.mark.parametrize("words", [(), ("tests",), ("-m", "alike or not alike"), ("-n2",)], ids=str)
def test_the_suite_tries_some_of_what_is_alike(words: tuple[str, ...], checkout: Path) -> None:
    """A fifth of the cases that are alike run, one target, each case of other tests, and nothing nightly."""
    assert passed(checkout, *words) == SOME


@pytest.mark.parametrize("words", [("tests/test_x.py",), ("-k", "test")], ids=str)
def test_what_is_named_runs_whole(words: tuple[str, ...], checkout: Path) -> None:
    """Whoever names tests runs all their cases."""
    assert passed(checkout, *words) == ALL


def test_the_night_tries_all(checkout: Path) -> None:
    """With AOC_TEST_EVERYTHING, nothing is left out."""
    assert passed(checkout, AOC_TEST_EVERYTHING="1") == ALL
