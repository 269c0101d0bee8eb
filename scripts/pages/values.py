"""The table of values in the chart's README: each value of values.yaml, its default, and the comment above it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_COMMENT = re.compile(r" *# (.*)")
_VALUE = re.compile(r"( *)(\w+):(?: (.+))?")
TARGETS = ("targets.concelier", "targets.excititor")  # the same values: the first one's comments serve for both


class Value(NamedTuple):
    """A value, or a section of values, whose default is empty."""

    path: str
    default: str
    meaning: str


def values(text: str) -> Iterator[Value]:
    """Yield what values.yaml has, in its order. Raises ValueError for a line of any other form."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if found := _COMMENT.fullmatch(line):
            comment.append(found[1])
        elif found := _VALUE.fullmatch(line):
            path[len(found[1]) // 2 :] = [found[2]]
            yield Value(".".join(path), found[3] or "", " ".join(comment))
            comment = []
        elif line:
            raise ValueError(f"neither a comment of its own nor a value on one line: {line}")
        else:
            comment = []


def table(text: str) -> Iterator[str]:
    """Yield the lines of the table. A section without a comment has no row."""
    yield from ("| value | default | meaning |", "| --- | --- | --- |")
    first, second = TARGETS
    for path, default, meaning in values(text):
        if meaning and not path.startswith(second):
            row = f"| `{path}` | {_shown(default)} | {meaning} |"
            yield row.replace("concelier", "TARGET") if path.startswith(first) else row
    yield ""


def _shown(default: str) -> str:
    empty = default in ("", '""', "null", "[]", "{}")
    return "" if empty else f"`{default.strip(chr(34))}`"
