"""How a report is drawn as text."""

from dataclasses import dataclass
from enum import IntEnum


class Verbosity(IntEnum):
    """How much of a report is shown: only the verdict, what fits one screen, or every value in full."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


@dataclass(frozen=True)
class Look:
    """The columns and lines of the screen, whether it has colors, and how much is shown."""

    width: int = 100
    height: int = 40
    color: bool = False
    verbosity: Verbosity = Verbosity.NORMAL
