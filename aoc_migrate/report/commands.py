"""The commands in the help of a finding, each alone on its line. In our texts, a command follows a colon.

Names from the catalog are quoted in a help, for SQL or for a shell: whatever they hold begins and ends no command.
"""

import re
from collections.abc import Iterator

_NAME = r'"[^"]*"'
_WORD = rf"(?:'[^']*'|{_NAME}|[^\s'\".,;]|[.,;](?=\S))++"
_END = r"\s+(?![A-Z]{2})|\s*$"  # no statement follows
_COMMAND = re.compile(
    rf"(?<=: )(?:(?:[A-Z_]+=\S+ )?aoc-migrate(?: {_WORD})+"  # to the end of the sentence or clause
    rf"|--[a-z-]+(?: {_WORD})?"
    rf"|[A-Z]{{3,}}\b(?:'[^']*'|{_NAME}|[^'\";]|;(?!{_END}))*+;(?={_END}))"
    rf"|(?P<quoted>{_NAME}|(?<!\w)'[^']*')"
)


def split(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a help in order, each with whether it is a command."""
    end = 0
    for found in _COMMAND.finditer(text):
        if found["quoted"]:
            continue
        yield text[end : found.start()].lstrip(".,; ").rstrip(), False
        yield found[0], True
        end = found.end()
    rest = text[end:]
    yield rest.lstrip(".,; ") if end else rest, False
