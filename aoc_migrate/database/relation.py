"""Names of existing objects in SQL: always with their schema, always quoted, whatever ``search_path`` holds."""

import re
from dataclasses import dataclass


def quoted(name: str) -> str:
    """Return an identifier as SQL writes it, in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL string literal; backslashes are plain characters (``standard_conforming_strings``)."""
    return "'" + text.replace("'", "''") + "'"


def typed(text: str) -> str:
    """Return a string literal for a person to paste: control characters are escaped."""
    if text.isprintable():
        return literal(text)
    return "E'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in text) + "'"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation or function that exists, or a table that is being created: schema and bare name.

    ``str()`` is its form in SQL: ``"public"."advisory_raw"``. Where a statement gives a new name (CREATE INDEX,
    ADD CONSTRAINT, RENAME TO), use ``name``.
    """

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def bare(self) -> str:
        """The name without its schema, quoted where SQL needs that, for a statement that gives a new name."""
        return self.name if re.fullmatch("[a-z_][a-z0-9_]*", self.name) else quoted(self.name)

    @property
    def literal(self) -> str:
        """The qualified name as a string literal, for ``to_regclass`` and ``::regclass``."""
        return literal(str(self))


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a target: ``schema["advisory_raw"]`` is the relation of that name in it."""

    name: str

    def __getitem__(self, relation: str) -> Relation:
        return Relation(self.name, relation)

    def __str__(self) -> str:
        return quoted(self.name)


VARIABLE = Schema("$aoc")
"""In a psql script: the schema that its variable names at run time. A real schema of that name is refused."""


def utc(column: str) -> str:
    """Return SQL for the time in a column as text: ISO 8601, UTC, to the second."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
