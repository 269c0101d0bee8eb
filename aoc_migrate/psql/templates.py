"""The templates of psql/: how SQL of ours becomes SQL of a script, whose schema is known when it runs.

psql puts a variable into nothing that is quoted. So SQL that a procedure gets as a text has a mark for the schema,
the body of a function looks it up in a setting, and a statement by itself has psql's variable.
"""

import re
from typing import Any

from aoc_migrate.database.relation import VARIABLE, literal

MARK = "<schema>"
RAW = VARIABLE["raw table"]
"""In the body of a function: the raw table, which a setting names."""
WIDTH = 260
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\$aoc_body\$.*?\$aoc_body\$)""", re.DOTALL)


def rendered(template: str, **values: Any) -> str:
    """Return a template of psql/ with ``values``; SQL among them gets marks for the schema.

    Jinja is imported here, because few commands need it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("aoc_migrate", "psql"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - what is made is SQL
        finalize=lambda value: value.replace(str(VARIABLE), MARK) if isinstance(value, str) else value,
    )
    templates.filters |= {"literal": literal, "wide": wide}
    return templates.get_template(template).render(values)


def wide(sql: str) -> str:
    """Return SQL in fewer and longer lines; quoted texts stay as they are, and SQL with comments."""
    if "--" in sql:
        return sql
    words = [""]
    for n, part in enumerate(re.split(_QUOTED, sql)):
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
    """Return SQL for the body of a function, where no mark is replaced: names are looked up in settings."""
    text = sql.replace(RAW.literal, "current_setting('aoc.raw')")
    return re.sub(rf"'{re.escape(str(VARIABLE))}(\.[^']*)'", r"(current_setting('aoc.schema') || '\1')", text)


def plain(sql: str) -> str:
    """Return SQL of a statement by itself, into which psql puts the schema."""
    return sql.replace(str(VARIABLE), ':"schema"')
