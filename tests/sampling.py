"""Cases that are many and alike: the suite tries some of them, the night all of them (AOC_TEST_EVERYTHING=1)."""

import os
from collections.abc import Sequence
from itertools import cycle, product
from typing import TypeVar
from zlib import crc32

EVERYTHING = "AOC_TEST_EVERYTHING" in os.environ
_T = TypeVar("_T")
_S = TypeVar("_S")


def sample(cases: Sequence[_T], of: str, step: int = 4) -> Sequence[_T]:
    """Return every ``step``-th case of a subject, which names the first one; or all."""
    return cases if EVERYTHING else cases[crc32(of.encode()) % min(step, len(cases) or 1) :: step]


def pairs(first: Sequence[_T], second: Sequence[_S]) -> list[tuple[_T, _S]]:
    """Return each of ``first`` with one of ``second`` in turn; or with each."""
    if EVERYTHING:
        return list(product(first, second))
    return list(zip(first, cycle(second), strict=False))
