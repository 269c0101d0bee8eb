"""How SQL names what exists: always with its schema, always quoted, whatever ``search_path`` holds."""

import re
from dataclasses import dataclass


def quoted(name: str) -> str:
    """Return an identifier as SQL writes it, in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return an SQL string literal; backslashes are plain characters (``standard_conforming_strings``)."""
    return "'" + text.replace("'", "''") + "'"


def typed(text: str) -> str:
    """Return a string literal for a person to paste: what a terminal would act on is escaped."""
    if text.isprintable():
        return literal(text)
    return "E'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in text) + "'"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation or function that exists, or a table that is being made: schema and bare name.

    As a string it is what SQL writes: ``"public"."advisory_raw"``. A name that is only being given (in CREATE
    INDEX, ADD CONSTRAINT, RENAME TO) is ``name``.
    """

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def bare(self) -> str:
        """The name without its schema, quoted where SQL asks for that, as one that is only being given."""
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
"""In a psql script: the schema that its variable names when it runs. A real schema of such a name is refused."""
