"""What `dedupe` and `repair` share: which rows leave the raw table or are mended in it, and what is in the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.catalog import WORK
from aoc_migrate.database.partitions import FAMILY
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.attached_code import needs_search_path
from aoc_migrate.report.accepted import NOTHING, Accepted, option
from aoc_migrate.report.model import Finding, make


@dataclass(frozen=True)
class Work:
    """Rows to be taken out of the raw table, or to be mended in it, after the originals went into quarantine.

    ``listed`` is a query of (id, kept, links, reason, mend, refused): the row that stands in for one that goes,
    the rows that name it as superseded, why, whether it is mended instead of moved, and whether a constraint
    would refuse it even then. ``moving`` and ``mending`` are queries of the rows of one batch for which that still
    holds, locked; the batch is the relation ``listed`` of (listed_id, kept, links, reason). It is joined, because
    PostgreSQL cannot look into it again when a row was locked by others. ``mended`` has the new value of each
    column that is mended, as an expression over a row ``t``. ``command`` is what goes on after an interruption.
    """

    command: str
    listed: str
    moving: str
    mending: str = ""
    mended: Mapping[str, str] = field(default_factory=dict)
    accepted: Accepted = NOTHING


def guards(session: Session, table: str) -> str:
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


def fired(session: Session, contract: Contract, events: int, accepted: Accepted) -> Iterator[Finding]:
    """Yield what writing the rows would run: triggers, and functions that do not find their tables under our path.

    ``events`` is a sum of INSERT, DELETE and UPDATE.
    """
    rows = session.rows(
        f"SELECT DISTINCT tgname FROM pg_trigger WHERE tgrelid IN {FAMILY} AND NOT tgisinternal "
        "AND tgenabled IN ('O', 'A') AND tgtype & %s <> 0 ORDER BY tgname",
        (str(session.schema[contract.table]), events),
    )
    for name in (row["tgname"] for row in rows):
        if not accepted.has("move-trigger", name):
            yield make("move-trigger", contract.table, trigger=name, accept=option("move-trigger", name))
    yield from needs_search_path(session, contract, events, accepted)


def references(session: Session, contract: Contract, leaving: str) -> Iterator[Finding]:
    """Yield the foreign keys through which other rows name one that would leave; ``leaving`` is a query of ids."""
    keys = session.rows(
        "SELECT c.conname AS name, c.conrelid::regclass::text AS source, c.confrelid::regclass::text AS named, "
        "string_agg('t.' || quote_ident(t.attname) || ' = s.' || quote_ident(s.attname), ' AND ') AS same "
        "FROM pg_constraint c CROSS JOIN unnest(c.conkey, c.confkey) AS k (source, named) "
        "JOIN pg_attribute s ON s.attrelid = c.conrelid AND s.attnum = k.source "
        "JOIN pg_attribute t ON t.attrelid = c.confrelid AND t.attnum = k.named "
        f"WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid IN {FAMILY} GROUP BY c.oid, 1, 2, 3 "
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
            yield make("move-referenced", contract.table, key=key["name"], source=key["source"], rows=rows)


def refused(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield how many rows a constraint that stands would not let us write. The list must be made."""
    held, raw, listed = guards(session, contract.table), session.schema[contract.table], session.schema[WORK]
    rows = session.value(
        f"SELECT (SELECT count(*) FROM {listed} WHERE refused) + (SELECT count(*) FROM {raw} AS t "
        f"WHERE id IN (SELECT unnest(links) FROM {listed}) "
        f"AND NOT EXISTS (SELECT FROM {listed} AS w WHERE w.id = t.id) AND NOT ({held}))"
    )
    if rows:
        yield make("guard-refuses", contract.table, rows=rows, target=session.target.name)


def foreign_quarantine(session: Session, contract: Contract) -> Iterator[Finding]:
    """Yield a finding where the quarantine's name belongs to something else."""
    if catalog.kind(session, contract.quarantine) is not None and not is_ours(session, contract):
        yield make("foreign-object", contract.quarantine)


def is_ours(session: Session, contract: Contract) -> bool:
    """Return whether there is a quarantine, and one that was made here."""
    return "quarantine_run" in catalog.columns(session, contract.quarantine)


def digest(text: str) -> str:
    """Return the expression that tells a value from another; it is kept instead of the value."""
    return f"encode(sha256(convert_to(coalesce({text}, ''), 'UTF8')), 'hex')"
