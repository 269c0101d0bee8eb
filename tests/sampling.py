"""Cases that are many and alike: the suite tries some of them, the night all of them (AOC_TEST_EVERYTHING=1).

Of a test that is marked ``alike``, the suite tries every fifth case, of fewer one, and others on each major.
Of a test that takes both targets in turn, it tries every second case. A test that is marked ``nightly`` waits for
the night. Whoever names tests runs them whole.
"""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import pytest

from aoc_migrate.sandbox.binaries import find_binaries

EVERYTHING = "AOC_TEST_EVERYTHING" in os.environ
_T = TypeVar("_T")
_S = TypeVar("_S")


def sample(cases: Sequence[_T], of: str, step: int = 5) -> Sequence[_T]:
    """Return every ``step``-th case of a subject, which names the first one; or all."""
    return cases if EVERYTHING else cases[crc32(of.encode()) % min(step, len(cases) or 1) :: step]


def pairs(first: Sequence[_T], second: Sequence[_S]) -> list[tuple[_T, _S]]:
    """Return each of ``first`` with one of ``second`` in turn; or with each."""
    if EVERYTHING:
        return list(product(first, second))
    return list(zip(first, cycle(second), strict=False))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the night what is for the night."""
    whole = {(config.invocation_params.dir / word).resolve() for word in config.args} == {Path(__file__).parent}
    if EVERYTHING or config.option.keyword or not (whole or config.option.markexpr):
        return
    cases = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    major = _major()
    kept = {item for name, some in cases.items() for item in _of(name, some, major)}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _of(name: str, cases: list[pytest.Item], major: int) -> list[pytest.Item]:
    """Return those of the cases of one test that have their turn."""
    if cases[0].get_closest_marker("nightly"):
        return []
    both_targets = "target_with_chain" in getattr(cases[0], "fixturenames", ())
    step = 5 if cases[0].get_closest_marker("alike") else 2 if both_targets else 1
    step = min(step, len(cases))
    return cases[(crc32(name.encode()) + major) % step :: step]


def _major() -> int:
    """Return the major version of the server that tests run on."""
    command = [str(find_binaries() / "postgres"), "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(re.findall(r"\d+", said)[0])
