"""What `dedupe` and `repair` share: the list of rows to move or repair, and the findings that stop them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.attached_code import code_findings
from aoc_migrate.database.bookkeeping import LOG, WORK
from aoc_migrate.database.events import DDL
from aoc_migrate.database.majors import enforced
from aoc_migrate.database.own_tables import flaws, foreign, own_tables_locked
from aoc_migrate.database.session import Session
from aoc_migrate.database.spread.partitions import FAMILY
from aoc_migrate.database.spread.shape import Spread
from aoc_migrate.database.trust import owner_of, trusted
from aoc_migrate.errors import Abort
from aoc_migrate.inspect.replication import replication_findings
from aoc_migrate.report.accepted import option
from aoc_migrate.report.model import Finding, finding

DUPLICATE = "duplicate-key"
"""The reason of rows that `dedupe` moved; any other reason names the rules that `repair` applied."""
TENANT = "%(tenant)s"  # the placeholder of the tenant that the rows of a batch have, if the table is distributed


@dataclass(frozen=True)
class Work:
    """Rows to move out of the raw table or to repair in it, in either case with their originals in quarantine.

    ``listed`` is a query of (identity, kept, links, reason, repair, refused): ``kept`` replaces the row, ``links``
    are the rows that link to it, ``repair`` says that it is repaired instead of moved, ``refused`` that a
    constraint would refuse it even then. ``moving`` and ``repairing`` are queries that lock the rows of one batch
    that still qualify. The batch is the relation ``listed`` of (listed_id, kept, links, reason); it must be
    joined, because EvalPlanQual does not evaluate a subquery again after a lock wait. ``repaired`` maps each
    repaired column to its new value, an expression over a row ``t``. ``command`` resumes the work after an
    interruption.
    """

    command: str
    listed: str
    moving: str
    repairing: str = ""
    repaired: Mapping[str, str] = field(default_factory=dict)


def row_constraints(session: Session, table: str, stored: Sequence[str] | None = None) -> str:
    """Return the condition that a new version of a row must satisfy: all CHECKs, valid or not, and NOT NULLs.

    A CHECK of the whole row is left out: it can be asked of nothing but the table. ``stored``: only what concerns
    these columns, quoted, and no others.
    """
    rows = session.rows(
        "SELECT 'coalesce(' || pg_get_expr(conbin, conrelid) || ', true)' AS held, "
        "ARRAY(SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) "
        "AS columns FROM pg_constraint k WHERE conrelid = to_regclass(%(table)s) AND contype = 'c' "
        f"AND {enforced('k')} AND coalesce(0 < ALL (conkey), true) "
        "UNION ALL SELECT quote_ident(attname) || ' IS NOT NULL', ARRAY[quote_ident(attname)] "
        "FROM pg_attribute WHERE attnotnull AND attnum > 0 AND attgenerated = '' AND NOT attisdropped "
        "AND attrelid = to_regclass(%(table)s)",
        {"table": str(session.schema[table])},
    )
    held = (row["held"] for row in rows if stored is None or set(row["columns"]) <= set(stored))
    return " AND ".join(held) or "true"


def in_shard(spread: Spread, row: str) -> str:
    """Return the condition that ``row`` belongs to a batch's tenant, if it has one."""
    return f"{row}.{spread.column} = {TENANT}" if spread.column else "true"


def linking_rows(session: Session, contract: Contract, spread: Spread, ids: str) -> str:
    """Return a query of (identity, links): the rows that link to each id of the query ``ids``.

    In a distributed table, these are rows of the same tenant. A link to another tenant stays as it is, wrong,
    until the backfill sets it.
    """
    link, shard = contract.link, f", {spread.column}" if spread.column else ""
    if link not in catalog.columns(session, contract.table):
        none = f", NULL::text AS {spread.column}" if spread.column else ""
        return f"SELECT NULL AS id{none}, NULL::text[] AS links WHERE false"
    return (
        f'SELECT {link} AS id{shard}, array_agg(id ORDER BY id COLLATE "C") AS links '
        f"FROM {session.schema[contract.table]} WHERE {link} IN ({ids}) GROUP BY {link}{shard}"
    )


def trigger_findings(session: Session, contract: Contract, events: int) -> Iterator[Finding]:
    """Yield the code that writing the rows would run: triggers, foreign code, code that needs a search_path.

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
    """Yield the foreign keys that refer to rows that would move; ``leaving`` is a query of their ids.

    Tables of untrusted roles are not read: their policies and indexes would run their functions with our rights.
    If a person accepts such a table (``foreign-key-owner``), and it refers to a moved row, PostgreSQL refuses the
    batch. Keys by which it would delete or change the referring rows instead are refused, whatever refers now.
    """
    yield from _cascades(session, contract, leaving)
    keys = session.rows(
        "SELECT c.conname AS name, c.conrelid::regclass::text AS source, c.confrelid::regclass::text AS named, "
        "string_agg('t.' || quote_ident(t.attname) || ' = s.' || quote_ident(s.attname), ' AND ') AS same "
        "FROM pg_constraint c CROSS JOIN unnest(c.conkey, c.confkey) AS k (source, named) "
        "JOIN pg_attribute s ON s.attrelid = c.conrelid AND s.attnum = k.source "
        "JOIN pg_attribute t ON t.attrelid = c.confrelid AND t.attnum = k.named "
        "JOIN pg_class r ON r.oid = c.conrelid "
        f"WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confdeltype IN ('a', 'r') AND c.confrelid IN {FAMILY} "
        f"AND {enforced('c')} "
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


def _cascades(session: Session, contract: Contract, leaving: str) -> Iterator[Finding]:
    """Yield the foreign keys by which a move would delete or change rows that --restore could not put back."""
    keys = session.rows(
        "SELECT quote_ident(conname) AS key, conrelid::regclass::text AS source, CASE confdeltype "
        "WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END AS action "
        "FROM pg_constraint k WHERE contype = 'f' AND conparentid = 0 AND confdeltype NOT IN ('a', 'r') "
        f"AND {enforced('k')} "
        f"AND confrelid IN {FAMILY} ORDER BY 2, 1",
        (str(session.schema[contract.table]),),
    )
    if keys and session.value(f"SELECT EXISTS ({leaving})"):
        yield from (finding("move-cascades", contract.table, **key) for key in keys)


def guard_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield ``constraint-refuses`` if constraints would refuse rows that we must write. The list must exist."""
    raw, listed = session.schema[contract.table], session.schema[WORK]
    query = (
        f"SELECT (SELECT count(*) FROM {listed} WHERE refused) + (SELECT count(*) FROM {raw} AS t "
        f"WHERE id IN (SELECT unnest(links) FROM {listed} EXCEPT SELECT id FROM {listed}) "
        f"AND NOT ({row_constraints(session, contract.table)}))"
    )
    with own_tables_locked(session, WORK):
        rows = session.value(query)
    if rows:
        yield finding("constraint-refuses", contract.table, rows=rows, target=session.target.name)


def table_findings(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield what prevents making the quarantine and the work list: objects of these names, a publication."""
    made = (contract.quarantine, WORK)
    for row in session.rows(flaws(session.schema, session.raw, made)):
        yield foreign(row["name"], row["flaw"], row["remedy"])
    yield from replication_findings(session, contract, (), own=(*made, LOG))


@dataclass(frozen=True)
class UnfinishedWork:
    """An interrupted command, from the comment on its work list; ``run`` made the list."""

    verb: str
    options: str
    signature: str
    run: int


_SIGNED = re.compile(
    r"(?P<signature>(?P<verb>dedupe|repair)(?P<options>(?: --[a-z-]+(?: [a-z][a-z-]*)?)*), contract v\d+, "
    r"table \d+), run (?P<run>\d{1,18})"
)


def unfinished(session: Session) -> UnfinishedWork | None:
    """Return the interrupted command that left a work list, or None if there is no list.

    Raises Abort ``foreign-object`` if the list, or its comment, is not ours: it is printed as a command.
    """
    if catalog.kind(session, WORK) is None:
        return None
    with own_tables_locked(session, WORK) if catalog.may_read(session, WORK) else nullcontext():
        name = str(session.schema[WORK])
        comment = session.value("SELECT obj_description(to_regclass(%s), 'pg_class')", (name,))
    signed = _SIGNED.fullmatch(comment or "")
    if signed is None:
        raise Abort(foreign(WORK, "aoc-migrate did not write its comment"))
    return UnfinishedWork(signed["verb"], signed["options"].strip(), signed["signature"], int(signed["run"]))


def digest(text: str) -> str:
    """Return the SQL of a digest, which is stored instead of the value."""
    return f"encode(sha256(convert_to(coalesce({text}, ''), 'UTF8')), 'hex')"
