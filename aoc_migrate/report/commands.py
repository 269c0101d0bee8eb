"""The commands in the help of a finding, each alone on its line. In our texts, a command follows a colon."""

import re
from collections.abc import Iterator

_WORD = r"(?:'[^']*'|[^\s'.,;]|[.,;](?=\S))+"
_COMMAND = re.compile(
    rf"(?<=: )(?:(?:[A-Z_]+=\S+ )?aoc-migrate(?: {_WORD})+"  # to the end of the sentence or clause
    rf"|--[a-z-]+(?: {_WORD})?"
    r"|[A-Z]{3,}\b.*?;(?=\s+(?![A-Z]{2})|\s*$))"  # SQL, to the semicolon after which no statement follows
)


def split(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a help in order, each with whether it is a command."""
    end = 0
    for found in _COMMAND.finditer(text):
        yield text[end : found.start()].lstrip(".,; ").rstrip(), False
        yield found[0], True
        end = found.end()
    rest = text[end:]
    yield rest.lstrip(".,; ") if end else rest, False
