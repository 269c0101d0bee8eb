"""Cases that are many and alike: the suite tries some of them, the night all of them (AOC_TEST_EVERYTHING=1)."""

import os
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

EVERYTHING = "AOC_TEST_EVERYTHING" in os.environ
_T = TypeVar("_T")


def sample(cases: Sequence[_T], of: str, step: int = 4) -> Sequence[_T]:
    """Return every ``step``-th case of a subject, which names the first one; or all."""
    return cases if EVERYTHING else cases[crc32(of.encode()) % min(step, len(cases) or 1) :: step]
