"""A rule of a contract: one predicate, which is the body of the function that a CHECK calls.

The same predicate serves in that function, in the audit's ``WHERE NOT (predicate)`` and in the probe after the
migration, so the three cannot disagree. It is never NULL, because a CHECK that is NULL passes (PostgreSQL 15
manual, 5.4.1), and it raises for no JSON, up to jsonb's own 256 MB for all columns together.

A CHECK calls a function because PostgreSQL parses a stored expression again with every INSERT, and a call is short
(`reference/limits.md` 11.1). PL/pgSQL resolves names at run time, under the ``search_path`` of whoever inserts. So
a predicate qualifies every operator, function, type and collation, and every literal has a type. It does not use
IN, BETWEEN, LIKE, IS DISTINCT FROM, NULLIF and CASE x WHEN, which look up an operator by its bare name.
"""

import hashlib
from dataclasses import dataclass

WHITE_SPACE = (
    r"E'\t\n\x0B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A"
    r"\u2028\u2029\u202F\u205F\u3000'::pg_catalog.text"
)
"""The 25 code points with the Unicode property White_Space (Unicode 17, PropList.txt), as an SQL literal.

They are escaped, because a tool that translates line ends would change control characters in a dump.
"""
TIME = "retrieved_at"
KEY_BYTES = 2640
"""The most bytes that the texts of one index entry may have together. They then fit uncompressed.

A B-tree entry has at most 2,704 bytes on pages of 8 kB (PostgreSQL 15 source, nbtree.h: BTMaxItemSize). Its header
takes 8, each of four texts 4 and up to 3 for alignment, and a timestamp 8 and up to 7. That leaves 2,653; the rest
is reserve.
"""
_OID = {"bool": 16, "text": 25, "timestamptz": 1184, "jsonb": 3802}  # in every PostgreSQL (catalog/pg_type.dat)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the envelope: its name, its PostgreSQL type and what the contract requires of it.

    ``default`` is an SQL expression for tables that the baseline creates. ``harmless`` are legal top-level keys;
    removing them first makes the test for forbidden keys cheap (`reference/limits.md` 1.1).
    """

    name: str
    type: str
    required: bool = False
    default: str = ""
    harmless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One CHECK constraint: its name, its predicate, and the columns that it reads.

    ``function`` is the bare name of the function whose body is the predicate. Its parameters are named after
    ``columns`` and have ``types``. If it is empty, the CHECK contains the predicate itself.
    """

    name: str
    predicate: str
    columns: tuple[str, ...]
    types: tuple[str, ...] = ()
    function: str = ""

    @property
    def body(self) -> str:
        """The source of the function."""
        return f"BEGIN RETURN {self.predicate}; END"

    @property
    def parameters(self) -> str:
        """The function's parameters, as CREATE FUNCTION writes them."""
        return ", ".join(f"{column} {type_}" for column, type_ in zip(self.columns, self.types, strict=True))

    @property
    def signature(self) -> str:
        """The constraint's COMMENT: a hash of expression and function, as `signature.SIGNATURE` computes it."""
        text = f"CHECK ({self._expression})" + (f"\n{self._function_text}" if self.function else "")
        return f"aoc-migrate sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def function_digest(self) -> str:
        """A hash of the function alone, as `signature.FUNCTION_DIGEST` computes it."""
        return hashlib.sha256(self._function_text.encode()).hexdigest()

    @property
    def _function_text(self) -> str:
        names, types = ",".join(self.columns), " ".join(str(_OID[type_]) for type_ in self.types)
        return f"{self.function} {{{names}}} {types} {_OID['bool']} plpgsql i s f f f f 0 {self.body}"

    @property
    def _expression(self) -> str:
        """The constraint's expression as PostgreSQL prints it, with one pair of parentheses fewer."""
        if self.function:
            return f"{self.function}({', '.join(self.columns)})"
        return f"({' AND '.join(f'({part})' for part in self.predicate.split(' AND '))})"


def blank(text: str) -> str:
    """Return the predicate, never NULL, that the SQL expression ``text`` is empty or white space only."""
    length = f"pg_catalog.octet_length(pg_catalog.btrim({text}, {WHITE_SPACE}))"
    return f"coalesce({length} OPERATOR(pg_catalog.=) 0::pg_catalog.int4, false)"


def not_finite() -> str:
    """Return the predicate, never NULL, of a row whose time is infinite."""
    return f"coalesce(NOT pg_catalog.isfinite({TIME}), false)"


def without_harmless(column: Column) -> str:
    """Return the SQL of a JSONB column without its harmless keys. Anything but an object becomes an array.

    ``|| '{}'`` makes that array, because ``- text[]`` raises on a scalar. NULL is an empty object unless the
    column is required.
    """
    keys, empty = ",".join(column.harmless), "'{}'::pg_catalog.jsonb"
    value = column.name if column.required else f"coalesce({column.name}, {empty})"
    return f"(({value} OPERATOR(pg_catalog.||) {empty}) OPERATOR(pg_catalog.-) '{{{keys}}}'::pg_catalog.text[])"
