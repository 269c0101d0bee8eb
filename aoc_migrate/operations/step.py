"""A Step: one statement of a revision, with its lock, and the condition under which it is needed.

Code that runs, prints, plans or estimates a statement reads its Step, never the statement itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from typing import Protocol

from aoc_migrate.contract.model import Contract
from aoc_migrate.database.relation import Relation, Schema, literal
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.shape import Spread
from aoc_migrate.report.model import Finding, StepReport, finding


class Lock(Enum):
    """The strongest lock that a Step takes on its table, in growing order, and for how long it is held."""

    NONE = "none"
    ROWS = "rows of one batch"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE, for an instant"


class Kind(Enum):
    """What a Step does: its name in reports, and why it is done the way it is."""

    CREATE_BOOKKEEPING = ("CREATE TABLE", "our own tables, private from the start")
    DROP_BOOKKEEPING = ("DROP TABLE", "a table of our own; no raw row is in it")
    RECORD = ("record", "what the downgrade must know of the database as it was")
    FORGET = ("forget", "what was recorded for the downgrade, which is done")
    SHARE = ("GRANT SELECT", "readers of the raw table may read revision and hold")
    CREATE_TABLE = ("CREATE TABLE", "a fresh installation has no raw table yet")
    ADD_COLUMN = ("ADD COLUMN", "nullable and without a default, so no row is rewritten")
    CREATE_FUNCTION = ("CREATE FUNCTION", "the CHECK calls it: a call is short, and every INSERT parses the CHECK")
    GRANT_EXECUTE = ("GRANT EXECUTE", "a role that may not run the function could store no row")
    DROP_FUNCTION = ("DROP FUNCTION", "no constraint calls it any more")
    ADD_CHECK = ("ADD CONSTRAINT", "NOT VALID: new rows are held from now on, no row is read")
    INVALIDATE = (
        "ADD CONSTRAINT NOT VALID",
        "no statement makes a constraint unproven: it is dropped and added at once",
    )
    DROP_CHECK = ("DROP CONSTRAINT", "no row is read")
    VALIDATE = ("VALIDATE CONSTRAINT", "one scan proves all rows; reads and writes go on")
    VALIDATE_NOT_NULL = (
        "VALIDATE NOT NULL",
        "one scan proves what was NOT VALID; reads and writes go on",
    )
    SET_NOT_NULL = ("SET NOT NULL", "the validated CHECK proves it, so no row is read")
    CHANGE_INHERITANCE = (
        "ALTER CONSTRAINT",
        "NOT NULL with NO INHERIT, as the table of the partition allows none",
    )
    INVALIDATE_NOT_NULL = (
        "ADD NOT NULL NOT VALID",
        "only where it was found so; dropped and added at once",
    )
    DROP_NOT_NULL = ("DROP NOT NULL", "only where this migration had set it")
    BUILD_INDEX = ("CREATE INDEX CONCURRENTLY", "reads and writes go on; it waits for older transactions")
    BUILD_UNIQUE_INDEX = ("CREATE UNIQUE INDEX CONCURRENTLY", BUILD_INDEX[1])
    MAKE_INDEX = ("CREATE INDEX ON ONLY", "the index of a partitioned table, without those of its partitions")
    ATTACH_INDEX = ("ATTACH INDEX", "the partition's index becomes a part of the table's")
    REBUILD_INDEX = ("REINDEX INDEX CONCURRENTLY", "reads and writes go on")
    DROP_INDEX = ("DROP INDEX CONCURRENTLY", "reads and writes go on; it waits for older transactions")
    DROP_INDEX_AT_ONCE = ("DROP INDEX", "PostgreSQL drops that of a partitioned table only as a whole")
    LINK = ("link rows of", "in small batches in key order, each with its journal in one transaction")
    SET_BACK = ("set back links of", "from the journal, the latest batch first")
    SWAP = (
        "RENAME and CREATE VIEW",
        "readers find the same rows under the same name; nobody writes them any more",
    )
    SWAP_BACK = ("DROP VIEW and RENAME", "the table never lost its owner and its policies")
    MAKE_READ_ONLY = ("CREATE TRIGGER", "the view refuses every write")
    USE_INVOKER = ("ALTER VIEW", "the table's policies apply to readers of the view")
    CHANGE_POLICIES = ("policies of", "what the verifier may see changes at once")
    STOCK = ("statement", "an operation of Alembic's own, without a bound")

    @property
    def name_in_reports(self) -> str:
        """The first words of a plan and of a report."""
        return self.value[0]

    @property
    def why(self) -> str:
        """Why it is done, in a few words for a reader of the SQL."""
        return self.value[1]


BUILDS = (Kind.BUILD_INDEX, Kind.BUILD_UNIQUE_INDEX)
CONCURRENTLY = (*BUILDS, Kind.DROP_INDEX, Kind.REBUILD_INDEX)
"""Kinds of statements that PostgreSQL refuses in a transaction."""
STILL_USED = "still-used"
KEPT = "function-kept"
"""The only objection that is a warning: the Step is left out."""


class Printed(Enum):
    """How Alembic's ``--sql``, which cannot query the catalog beforehand, prints a Step."""

    PLAIN = "as it is"
    ASKING = "with its condition: it depends on what the upgrade found"
    NEVER = "not: it repairs changes by others"


@dataclass(frozen=True)
class Objection:
    """An objection to a Step: ``reason`` is SQL for a text, NULL where there is no objection.

    If ``slug`` is an error, the revision stops; if it is a warning, the Step is left out. ``words`` complete the
    text of the finding.
    """

    slug: str
    subject: str
    reason: str
    words: Mapping[str, str] = field(default_factory=dict)

    def finding(self, reason: str) -> Finding:
        """Return the finding of an objection that holds."""
        return finding(self.slug, self.subject, **{"reason": reason, **self.words})


@dataclass(frozen=True)
class Remark:
    """What a reader must know of a Step, in findings ``slug`` that stop nothing.

    ``values``: SQL for a jsonb array, asked before the Step runs; each of its objects completes one finding.
    """

    slug: str
    subject: str
    values: str


def foreign_object(subject: str, condition: str, reason: str = "it was not made by aoc-migrate") -> Objection:
    """Return the objection ``foreign-object`` where an SQL condition holds."""
    words = {"remedy": "Rename or drop it, as its owner or as a superuser."}
    return Objection("foreign-object", subject, f"CASE WHEN {condition} THEN {literal(reason)} END", words)


@dataclass(frozen=True)
class Step:
    """One statement.

    ``relation``: the table whose lock it takes. ``objects``: the bare names of what it makes, changes or drops.
    ``sql``: the statement, and others that belong to it, such as a COMMENT. ``needed``: an SQL condition that
    holds where the catalog lacks what the Step makes. ``optional``: the table may be missing; then nothing is
    locked. ``alone``: the statement itself takes the strong lock, on an index or without partitions, where LOCK
    TABLE would take more. ``remark``: what a plan and a report say of it.
    """

    kind: Kind
    relation: Relation
    objects: tuple[str, ...]
    lock: Lock
    sql: tuple[str, ...]
    needed: str = "true"
    objection: Objection | None = None
    printed: Printed = Printed.PLAIN
    optional: bool = False
    alone: bool = False
    remark: Remark | None = None

    @property
    def index(self) -> Relation:
        """The index that the Step builds or drops: it is in the schema of its table."""
        return Relation(self.relation.schema, self.objects[0])


@dataclass(frozen=True, kw_only=True)
class Batches(Step):
    """A Step that writes rows in batches; ``sql`` runs before the first one.

    ``contract`` and ``name`` (under which it keeps its cursor) define the rows; `supersedes` has the batches.
    ``gate``: a statement that ends a printed migration where rows need a link and the flag does not allow it.
    """

    contract: Contract
    name: str
    gate: str = ""


class Executor(Protocol):
    """Takes the Steps of operations, in their order."""

    @property
    def schema(self) -> Schema:
        """The schema of the target."""

    @property
    def owner(self) -> str | None:
        """The role that a new raw table will belong to; None: the migrating role."""

    def run(self, *steps: Step) -> None:
        """Take Steps that belong together: one transaction, under the strongest lock that one of them needs.

        A Step with SHARE UPDATE EXCLUSIVE or with batches comes alone.
        """

    def spread(self, table: Relation) -> Spread:
        """Return how ``table`` is spread, where that is known."""

    def on_partitions(self, table: Relation) -> "OnPartitions | None":
        """Return the executor where it runs online and ``table`` is partitioned: the tree decides the Steps."""


class OnPartitions(Executor, Protocol):
    """The executor that runs online. ``ran``: what ran, with what the report says of it."""

    session: Session
    ran: list[tuple[tuple[Step, ...], StepReport]]


def title(steps: Iterable[Step]) -> str:
    """Return the common name of Steps in logs, plans and reports, with bare names."""
    parts = []
    for (kind, relation), some in groupby(steps, lambda step: (step.kind, step.relation)):
        names = ", ".join(name for step in some for name in step.objects)
        where = "" if names == relation.name else f" ON {relation.name}"
        parts.append(f"{kind.name_in_reports} {names}{where}")
    return "; ".join(parts)


def strongest(steps: Iterable[Step]) -> Lock:
    """Return the strongest lock that one of the Steps takes."""
    order = list(Lock)
    return max((step.lock for step in steps), key=order.index)


def shown(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the Steps that a plan and a report name: all but the bookkeeping."""
    hidden = (Kind.RECORD, Kind.FORGET, Kind.CREATE_BOOKKEEPING, Kind.SHARE)
    yield from (step for step in steps if step.kind not in hidden)


def objects_left(steps: Iterable[Step]) -> str:
    """Return the SQL condition that the catalog still has something that these Steps drop.

    A statement of Alembic's own does not say what it drops.
    """
    conditions = []
    for step in (step for step in shown(steps) if step.kind is not Kind.STOCK):
        kept = f" AND ({step.objection.reason}) IS NULL" if step.objection and step.objection.slug == KEPT else ""
        conditions.append(f"({step.needed}{kept})")
    return "\n  OR ".join(dict.fromkeys(conditions)) or "false"
