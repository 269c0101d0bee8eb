r"""The schema of a psql script, which ``-v schema=NAME`` names when the script runs.

psql puts the value of a variable into a statement, but into nothing that is quoted. A DO block is quoted as a
whole, so it is kept as a text, gets the schema by ``replace()``, and runs by ``\gexec``.
"""

import re

from aoc_migrate.database.ddl.printing import VARIABLE

MARK = "<schema>"
SET = "SELECT quote_ident(:'schema') AS aoc_schema \\gset"
"""What a script does before the first statement that names the schema."""

_BLOCK = re.compile(r"^DO \$(\w+)\$.*?\$\1\$;", re.DOTALL | re.MULTILINE)


def with_schema(script: str) -> str:
    """Return a script that was rendered for `VARIABLE` in a form that psql runs."""
    found, place = "", 0
    for block in _BLOCK.finditer(script):
        found += _interpolated(script[place : block.start()]) + _replaced(block[0])
        place = block.end()
    return found + _interpolated(script[place:])


def _interpolated(text: str) -> str:
    """Return statements in which psql itself puts the schema."""
    text = re.sub(rf"'{re.escape(str(VARIABLE))}\.([^']*)'", r"(:'aoc_schema' || '.\1')", text)
    return text.replace(str(VARIABLE), ':"schema"')


def _replaced(block: str) -> str:
    """Return a DO block as a text in which the schema replaces a mark."""
    if str(VARIABLE) not in block:
        return block
    text = block.removesuffix(";").replace(str(VARIABLE), MARK)
    return (
        f"SELECT replace(replace($aoc_block$\n{text}\n$aoc_block$,\n"
        f"  '''{MARK}.', '''' || replace(:'aoc_schema', '''', '''''') || '.'), '{MARK}', :'aoc_schema') \\gexec"
    )
