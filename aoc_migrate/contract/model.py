"""The shape of a contract: its columns, keys, rules and indexes.

Names of tables and columns are lower-case identifiers that need no quotes; a contract has no schema. The rendered
text of the rules of a released contract must not change (tests/golden).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from aoc_migrate.contract.rules import KEY_BYTES, TIME, Check, Column, blank, not_finite, without_harmless


class Part(Enum):
    """What a revision puts in place. Each revision names its part; audit and verify work by parts."""

    TABLE = auto()
    GUARD = auto()
    PROOF = auto()
    IDEMPOTENCY = auto()
    CHAIN_INDEX = auto()
    CHAIN = auto()
    CONTENT = auto()
    VIEW = auto()


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its name, its columns (some with ``COLLATE "C"``) and whether it is unique."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


def key_hash(columns: Iterable[str]) -> str:
    """Return the SQL of a 64-bit hash of text columns, NULL if one is NULL. Integers sort fast."""
    hashed = "0"
    for column in columns:
        hashed = f"hashtextextended({column}, {hashed})"
    return hashed


@dataclass(frozen=True, slots=True)
class ViewSwap:
    """The legacy table that a view replaces, and the name under which the table remains."""

    view: str
    backup: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of the contract of one raw table.

    ``idempotency_key`` identifies a stored document; ``chain_key`` groups the revisions of one upstream document,
    and ``chain_order`` sorts them. ``document`` is the JSONB column with the upstream document, which is guarded
    last. ``mirrors`` are scalar columns with the JSON column and key that repeat them.
    """

    version: int
    table: str
    columns: tuple[Column, ...]
    document: str
    link: str
    forbidden_keys: tuple[str, ...]
    forbidden_prefix: str
    idempotency_key: tuple[str, ...]
    chain_key: tuple[str, ...]
    chain_order: tuple[str, ...]
    mirrors: tuple[tuple[str, str, str], ...]

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that become NOT NULL, without the primary key."""
        return tuple(c.name for c in self.columns if c.required and c.name != "id")

    @property
    def keys(self) -> tuple[str, ...]:
        """The text columns that may not be blank."""
        return tuple(c.name for c in self.columns if c.required and c.type == "text")

    @property
    def objects(self) -> tuple[Column, ...]:
        """The JSONB columns, each an object without forbidden keys at its top level."""
        return tuple(c for c in self.columns if c.type == "jsonb")

    @property
    def quarantine(self) -> str:
        """The table for moved rows and for the originals of repaired rows."""
        return f"{self.table}_quarantine"

    def name(self, what: str) -> str:
        """Return the versioned name of a constraint, function or index, such as ``advisory_raw_keys_v1``."""
        return f"{self.table}_{what}_v{self.version}"

    def chained(self) -> str:
        """Return the predicate of a row that has a place in a chain: it has the whole chain key, and a time."""
        return " AND ".join(f"{c} IS NOT NULL" for c in (*self.chain_key, TIME))

    def required_check(self) -> Check:
        """Return the proof that lets SET NOT NULL skip its scan; dropped once the columns are NOT NULL."""
        predicate = " AND ".join(f"{c} IS NOT NULL" for c in self.required)
        return Check(self.name("required"), predicate, self.required)

    def keys_check(self) -> Check:
        """Return the rule on the key columns: no text is blank, all fit into an index, the time is finite.

        NULL passes; `required_check` refuses it.
        """
        columns = (*self.keys, TIME)
        rules = (self.not_blank(), f"NOT {self.too_long()}", f"NOT {not_finite()}")
        return self._check("keys", " AND ".join(rules), columns)

    def not_blank(self) -> str:
        """Return the predicate of a row without a blank key.

        The first half is a fast path: a key whose first byte is from ``!`` to ``}`` is not blank.
        """
        listed = ", ".join(f'{key} COLLATE pg_catalog."C"' for key in self.keys)
        fast = (
            f"least({listed}) OPERATOR(pg_catalog.>=) '!'::pg_catalog.text "
            f"AND greatest({listed}) OPERATOR(pg_catalog.<) '~'::pg_catalog.text"
        )
        each = " AND ".join(f"NOT {blank(key)}" for key in self.keys)
        return f"(coalesce({fast}, true) OR {each})"

    def too_long(self) -> str:
        """Return the predicate of a row whose keys fit into an index only compressed, or not at all."""
        shared, others = [f"pg_catalog.octet_length({c})" for c in self.chain_key], ("id", "content_hash")
        shared[0] += "::pg_catalog.int8"  # four texts of 1 GB each overflow int4
        longer = f"greatest({', '.join(f'pg_catalog.octet_length({c})' for c in others)})"
        together = " OPERATOR(pg_catalog.+) ".join([*shared, longer])
        return f"coalesce({together} OPERATOR(pg_catalog.>) {KEY_BYTES}::pg_catalog.int8, false)"

    def objects_check(self) -> Check:
        """Return the rule on the small JSONB columns: each an object without forbidden keys at its top level.

        One rule for all: with a rule each, an INSERT takes a fifth longer (docs/architecture.md).
        """
        small = [column for column in self.objects if column.name != self.document]
        return self._check("objects", self.unforbidden(small), tuple(column.name for column in small))

    def document_check(self) -> Check:
        """Return the same rule on the column with the upstream document."""
        document = next(c for c in self.objects if c.name == self.document)
        return self._check(self.document, self.unforbidden([document]), (self.document,))

    def unforbidden(self, columns: Iterable[Column]) -> str:
        """Return the predicate that JSONB columns are objects without forbidden top-level keys.

        SQL NULL passes unless the column is required. The columns without their harmless keys are concatenated:
        into one object, in which the path must find nothing, or into an array if one of them is not an object.
        Each column is named once, so it is detoasted once (`reference/limits.md` 1.1). If the result is larger
        than 256 MB, the limit of jsonb, PostgreSQL raises an error and so refuses the row.
        """
        exact = (key for key in self.forbidden_keys if not key.startswith(self.forbidden_prefix))
        keys = " || ".join(f'@.key == "{key}"' for key in exact)
        path = (
            'strict $.type() == "object" && '
            f'!exists($.keyvalue() ? (@.key starts with "{self.forbidden_prefix}" || {keys}))'
        )
        rest = " OPERATOR(pg_catalog.||) ".join(without_harmless(column) for column in columns)
        return (
            f"coalesce(pg_catalog.jsonb_path_match({rest}, '{path}'::pg_catalog.jsonpath, "
            "'{}'::pg_catalog.jsonb, true), false)"
        )

    def _check(self, what: str, predicate: str, columns: tuple[str, ...]) -> Check:
        types = {column.name: column.type for column in self.columns}
        listed = tuple(types[column] for column in columns)
        return Check(self.name(what), predicate, columns, listed, self.name(f"{what}_ok"))

    def row_checks(self) -> tuple[Check, ...]:
        """Return the permanent rules that do not read the document."""
        return (self.keys_check(), self.objects_check())

    def checks(self) -> tuple[Check, ...]:
        """Return every CHECK that a revision makes, including the temporary proof of NOT NULL."""
        return (*self.row_checks(), self.required_check(), self.document_check())

    def check(self, name: str) -> Check:
        """Return the CHECK with this name. Raises KeyError if this version has none."""
        return {check.name: check for check in self.checks()}[name]

    def idempotency_index(self) -> Index:
        """Return the unique index over the idempotency key.

        It is not a constraint, so it can be dropped CONCURRENTLY, and ON CONFLICT (columns) still infers it.
        """
        return Index(self.name("idempotency"), self.idempotency_key, unique=True)

    def chain_index(self) -> Index:
        """Return the index in chain order, for the backfill, verify and the services' latest revision."""
        return Index(self.name("chain"), (*self.chain_key, *self.chain_order))
