"""The shape of a contract, and the one predicate that each of its rules is.

A predicate serves three times: in the CHECK, in the audit's ``WHERE NOT (predicate)`` and in the probe
after the migration, so the three cannot disagree. It is never NULL, because a CHECK that is NULL passes
(PostgreSQL 15 manual, 5.4.1), and it never raises, whatever JSON it meets. Names of tables and columns are
lower-case identifiers and need no quoting; the schema is found through ``search_path``.

Released versions of a contract depend on the text rendered here: it may not change (tests/golden).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

BLANK = r"E' \t\n\r\f\x0B'"


class Part(StrEnum):
    """What a revision makes stand. A revision names its part; audit and verify look at parts."""

    TABLE = "table"
    GUARD = "guard"
    PROOF = "proof"
    IDEMPOTENCY = "idempotency"
    CHAIN_INDEX = "chain-index"
    CHAIN = "chain"
    CONTENT = "content"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the envelope: its name, its PostgreSQL type and what the contract asks of it.

    ``default`` is an SQL expression for tables that the baseline creates. ``harmless`` are top-level keys
    known to be legal; dropping them first is what makes the key test cheap (`reference/limits.md` 1.1).
    """

    name: str
    type: str
    required: bool = False
    default: str = ""
    harmless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One CHECK constraint: its name, its predicate, and the columns that it judges."""

    name: str
    predicate: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its name, its columns (some with ``COLLATE "C"``) and whether it is unique."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


def key_hash(columns: Iterable[str]) -> str:
    """Return a 64-bit hash of text columns as an SQL expression, NULL where one is: integers sort fast."""
    hashed = "0"
    for column in columns:
        hashed = f"hashtextextended({column}, {hashed})"
    return hashed


@dataclass(frozen=True, slots=True)
class ViewSwap:
    """The legacy table that becomes a view, and the name under which its rows stay."""

    view: str
    backup: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of the contract of one raw table.

    ``idempotency_key`` identifies a stored document; ``chain_key`` groups the revisions of one upstream
    document, which ``chain_order`` puts in order. ``document`` is the JSONB column that holds the upstream
    document and is guarded last. ``mirrors`` are scalar columns and the JSON field they repeat.
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
        """The table that rows go to which cannot stay, or whose originals are kept there."""
        return f"{self.table}_quarantine"

    def name(self, what: str) -> str:
        """Return the versioned name of a constraint or index, such as ``advisory_raw_not_blank_v1``."""
        return f"{self.table}_{what}_v{self.version}"

    def required_check(self) -> Check:
        """Return the proof that lets SET NOT NULL skip its scan; dropped once the columns are NOT NULL."""
        predicate = " AND ".join(f"{c} IS NOT NULL" for c in self.required)
        return Check(self.name("required"), predicate, self.required)

    def blank_check(self) -> Check:
        """Return the rule that no text key is empty or only white space. NULL is the other rule's business."""
        predicate = " AND ".join(f"coalesce(btrim({c}, {BLANK}) <> '', true)" for c in self.keys)
        return Check(self.name("not_blank"), predicate, self.keys)

    def object_check(self, column: Column) -> Check:
        """Return the rule that a JSONB column is an object without forbidden top-level keys.

        SQL NULL passes unless the column is required. ``|| '{}'`` turns scalars into arrays, which
        ``- text[]`` can bear; one reference to the column is one detoast (`reference/limits.md` 1.1).
        """
        exact = (key for key in self.forbidden_keys if not key.startswith(self.forbidden_prefix))
        keys = " || ".join(f'@.key == "{key}"' for key in exact)
        path = (
            'strict $.type() == "object" && '
            f'!exists($.keyvalue() ? (@.key starts with "{self.forbidden_prefix}" || {keys}))'
        )
        harmless = ", ".join(f"'{key}'" for key in column.harmless)
        predicate = (
            f"coalesce(jsonb_path_match(({column.name} || '{{}}') - ARRAY[{harmless}], "
            f"'{path}', '{{}}', true), {'false' if column.required else 'true'})"
        )
        return Check(self.name(f"{column.name}_keys"), predicate, (column.name,))

    def row_checks(self) -> tuple[Check, ...]:
        """Return the rules that hold for ever and never read the document: all but the one on it."""
        objects = (self.object_check(c) for c in self.objects if c.name != self.document)
        return (self.blank_check(), *objects)

    def document_check(self) -> Check:
        """Return the rule on the column that holds the upstream document."""
        return self.object_check(next(c for c in self.columns if c.name == self.document))

    def idempotency_index(self) -> Index:
        """Return the unique index that keeps one row per stored document.

        An index, not a constraint: it can be dropped CONCURRENTLY, and ON CONFLICT (columns) infers it.
        """
        return Index(self.name("idempotency"), self.idempotency_key, unique=True)

    def chain_index(self) -> Index:
        """Return the index in chain order, for the backfill, verify and the services' latest revision."""
        return Index(self.name("chain"), (*self.chain_key, *self.chain_order))
