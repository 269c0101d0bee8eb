"""The text of a finding, and StellaOps' violation codes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Message:
    """Problem and help of one slug, as format strings over the finding's values.

    In ``help``, a command to copy follows a colon. ``many`` is the problem of several findings that differ only in
    their subjects, over their ``count``.
    """

    problem: str
    help: str
    severity: Literal["error", "warning", "info"] = "error"
    code: str | None = None
    exit_code: int = 1
    many: str = ""


FORBIDDEN, DUPLICATE, MISSING, DERIVED, UNKNOWN = (
    "ERR_AOC_001",
    "ERR_AOC_003",
    "ERR_AOC_004",
    "ERR_AOC_006",
    "ERR_AOC_007",
)
