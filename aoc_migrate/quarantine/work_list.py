"""What `dedupe` and `repair` share: which rows move or are repaired, and what is in the way."""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import DDL, code_findings
from aoc_migrate.database.bookkeeping import WORK
from aoc_migrate.database.own_tables import flaws, foreign, own_tables_locked
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.session import Session
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import Finding, finding

DUPLICATE = "duplicate-key"
"""Why a row is in quarantine that `dedupe` moved there; any other reason is a rule that `repair` applied."""


@dataclass(frozen=True)
class Work:
    """Rows to be taken out of the raw table, or to be repaired in it, after the originals went into quarantine.

    ``listed`` is a query of (id, kept, links, reason, repair, refused): the row that stands in for one that goes,
    the rows that name it as superseded, why, whether it is repaired instead of moved, and whether a constraint
    would refuse it even then. ``moving`` and ``repairing`` are queries of the rows of one batch for which that
    still holds, locked; the batch is the relation ``listed`` of (listed_id, kept, links, reason). It is joined: a
    subquery would not be evaluated again after a lock wait (EvalPlanQual). ``repaired`` has the new value of each
    column that is repaired, as an expression over a row ``t``. ``command`` is what goes on after an interruption.
    """

    command: str
    listed: str
    moving: str
    repairing: str = ""
    repaired: Mapping[str, str] = field(default_factory=dict)


def row_constraints(session: Session, table: str) -> str:
    """Return what every new version of a row must satisfy already: CHECKs, proven or not, and NOT NULLs."""
    rows = session.rows(
        "SELECT 'coalesce(' || pg_get_expr(conbin, conrelid) || ', true)' AS held FROM pg_constraint "
        "WHERE conrelid = to_regclass(%(table)s) AND contype = 'c' "
        "UNION ALL SELECT quote_ident(attname) || ' IS NOT NULL' FROM pg_attribute WHERE attnotnull "
        "AND attnum > 0 AND attgenerated = '' AND NOT attisdropped "
        "AND attrelid = to_regclass(%(table)s)",
        {"table": str(session.schema[table])},
    )
    return " AND ".join(row["held"] for row in rows) or "true"


def trigger_findings(session: Session, contract: Contract, events: int) -> Iterator[Finding]:
    """Yield what writing the rows would run: triggers, foreign code, and code that needs a search_path.

    ``events`` is a sum of INSERT, DELETE and UPDATE.
    """
    rows = session.rows(
        f"SELECT DISTINCT tgname FROM pg_trigger WHERE tgrelid IN {FAMILY} AND NOT tgisinternal "
        "AND tgenabled IN ('O', 'A') AND tgtype & %s <> 0 ORDER BY tgname",
        (str(session.schema[contract.table]), events),
    )
    for name in (row["tgname"] for row in rows):
        if not session.accepted.has("move-trigger", name):
            yield finding("move-trigger", contract.table, trigger=name, accept=option("move-trigger", name))
    yield from code_findings(session, contract, events | DDL)


def reference_findings(session: Session, contract: Contract, leaving: str) -> Iterator[Finding]:
    """Yield the foreign keys through which other rows name one that would leave; ``leaving`` is a query of ids.

    A stranger's table is not read: its policies and indexes would run the stranger's functions as ours. Where it
    refers to a row that leaves, PostgreSQL refuses the batch.
    """
    keys = session.rows(
        "SELECT c.conname AS name, c.conrelid::regclass::text AS source, c.confrelid::regclass::text AS named, "
        "string_agg('t.' || quote_ident(t.attname) || ' = s.' || quote_ident(s.attname), ' AND ') AS same "
        "FROM pg_constraint c CROSS JOIN unnest(c.conkey, c.confkey) AS k (source, named) "
        "JOIN pg_attribute s ON s.attrelid = c.conrelid AND s.attnum = k.source "
        "JOIN pg_attribute t ON t.attrelid = c.confrelid AND t.attnum = k.named "
        "JOIN pg_class r ON r.oid = c.conrelid "
        f"WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid IN {FAMILY} "
        f"AND {trusted('r.relowner', owner_of(session.raw))} GROUP BY c.oid, 1, 2, 3 "
        "HAVING NOT (c.conrelid = c.confrelid AND %s = ANY (array_agg(s.attname))) "  # links are set as rows move
        "ORDER BY 1, 2",
        (str(session.schema[contract.table]), contract.link),
    )
    for key in keys:
        rows = session.value(
            f"SELECT count(*) FROM {key['source']} AS s JOIN {key['named']} AS t ON {key['same']} "
            f"WHERE t.id IN ({leaving})"
        )
        if rows:
            yield finding("move-referenced", contract.table, key=key["name"], source=key["source"], rows=rows)


def guard_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield how many rows a constraint that stands would not let us write. The list must be made."""
    held, raw, listed = (
        row_constraints(session, contract.table),
        session.schema[contract.table],
        session.schema[WORK],
    )
    query = (
        f"SELECT (SELECT count(*) FROM {listed} WHERE refused) + (SELECT count(*) FROM {raw} AS t "
        f"WHERE id IN (SELECT unnest(links) FROM {listed}) "
        f"AND NOT EXISTS (SELECT FROM {listed} AS w WHERE w.id = t.id) AND NOT ({held}))"
    )
    with own_tables_locked(session, WORK):
        rows = session.value(query)
    if rows:
        yield finding("guard-refuses", contract.table, rows=rows, target=session.target.name)


def foreign_table_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield a finding where the name of the quarantine or of the work list belongs to something else."""
    for row in session.rows(flaws(session.schema, session.raw, (contract.quarantine, WORK))):
        yield foreign(row["name"], row["flaw"], row["remedy"])


@dataclass(frozen=True)
class UnfinishedWork:
    """A command that was begun and has not ended, as its work list is signed."""

    verb: str
    options: str
    signature: str


_SIGNED = re.compile(r"(dedupe|repair)((?: --[a-z-]+(?: [a-z][a-z-]*)?)*), contract v\d+, table \d+")


def unfinished(session: Session) -> UnfinishedWork | None:
    """Return the command whose list is not worked off, None if there is none.

    Raises Abort ``foreign-object`` for a list that is not ours, or not signed as ours are: what it says is
    printed as a command.
    """
    if catalog.kind(session, WORK) is None:
        return None
    with own_tables_locked(session, WORK) if catalog.may_read(session, WORK) else nullcontext():
        named = str(session.schema[WORK])
        comment = session.value("SELECT obj_description(to_regclass(%s), 'pg_class')", (named,))
    signed = _SIGNED.fullmatch(comment or "")
    if signed is None:
        raise Abort(foreign(WORK, "its comment is not one that we write"))
    return UnfinishedWork(signed[1], signed[2].strip(), comment)


def digest(text: str) -> str:
    """Return the expression that tells a value from another; it is kept instead of the value."""
    return f"encode(sha256(convert_to(coalesce({text}, ''), 'UTF8')), 'hex')"
