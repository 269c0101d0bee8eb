"""The templates of psql/, and how our SQL gets a schema that is known only when the script runs.

psql replaces no variable inside quotes. So a plain statement has psql's variable, SQL that is passed to a
procedure as a string has a mark for the schema, and the body of a function reads it from a setting.
"""

import re
from typing import Any

from aoc_migrate.database.relation import VARIABLE, literal

MARK = "<schema>"
RAW = VARIABLE["raw table"]
"""The raw table in the body of a function, where a setting names it."""
WIDTH = 260
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\$aoc_body\$.*?\$aoc_body\$)""", re.DOTALL)


def rendered(template: str, **values: Any) -> str:
    """Return a template of psql/, rendered with ``values``, with marks for the schema."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("aoc_migrate", "psql"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the result is SQL
        finalize=lambda value: value.replace(str(VARIABLE), MARK) if isinstance(value, str) else value,
    )
    templates.filters |= {"literal": literal, "wide": wide}
    return templates.get_template(template).render(values)


def wide(sql: str) -> str:
    """Return SQL in fewer and longer lines. Quoted strings, and SQL with comments, stay as they are."""
    parts = re.split(_QUOTED, sql)
    if any("--" in part for part in parts[::2]):
        return sql
    words = [""]
    for n, part in enumerate(parts):
        first, *others = [part] if n % 2 else re.split(r"\s+", part)
        words[-1] += first
        words += others
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1].rpartition("\n")[2]) + len(word.partition("\n")[0]) > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return "\n  ".join(lines)


def in_body(sql: str) -> str:
    """Return SQL for the body of a function, which reads names from settings."""
    text = sql.replace(RAW.literal, "current_setting('aoc.raw')")
    return re.sub(rf"'{re.escape(str(VARIABLE))}([^']*)'", r"(current_setting('aoc.schema') || '\1')", text)


def as_statement(sql: str) -> str:
    """Return SQL for a plain statement, with psql's variable for the schema."""
    return sql.replace(str(VARIABLE), ':"schema"')
