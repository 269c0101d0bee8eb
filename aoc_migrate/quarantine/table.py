"""The quarantine table, for moved rows and the originals of repaired rows; and `quarantine`, which lists it."""

from aoc_migrate.contract.model import Contract
from aoc_migrate.database import catalog
from aoc_migrate.database.bookkeeping import make_private
from aoc_migrate.database.own_tables import lock, own_tables_locked, refuse_foreign
from aoc_migrate.database.relation import Relation, utc
from aoc_migrate.database.session import Session
from aoc_migrate.inspect.granting import must_read
from aoc_migrate.quarantine.column_types import unlimited
from aoc_migrate.quarantine.contents import has_quarantine
from aoc_migrate.report.facts.quarantined import QuarantinedRow, QuarantinedRun, QuarantineListFacts
from aoc_migrate.report.model import Report
from aoc_migrate.revisions.graph import contract_at

COLUMNS = (
    "quarantine_run bigint NOT NULL",
    "quarantine_batch bigint NOT NULL",
    "quarantine_reason text NOT NULL",
    "quarantine_kept text",
    "quarantine_links text[] NOT NULL",
    "quarantine_repaired jsonb",
    "quarantine_at timestamptz NOT NULL DEFAULT now()",
    "quarantine_by text NOT NULL",
)
"""What the quarantine adds to each row: the run and the transaction that moved it, why, the row that replaces it,
the rows that linked to it, and for a repaired row a digest of each new value (NULL: the row was moved)."""


def make_quarantine(session: Session, contract: Contract) -> None:
    """Create the quarantine with the raw table's columns and owner and no rights for other roles, or add columns.

    Its columns have no type modifiers: see `column_types`.

    Raises Abort ``foreign-object``.
    """
    quarantine, raw = session.schema[contract.quarantine], session.schema[contract.table]
    refuse_foreign(session, contract.quarantine)
    if catalog.kind(session, contract.quarantine) is None:
        with session.transaction():
            columns = ", ".join(f"{name}::{type_} AS {name}" for name, type_ in unlimited(session, raw).items())
            session.run(f"CREATE TABLE {quarantine} AS SELECT {columns} FROM {raw} WITH NO DATA")
            added = ", ".join(f"ADD {column}" for column in COLUMNS)
            session.run(f"ALTER TABLE {quarantine} {added}, ADD PRIMARY KEY (id, quarantine_run)")
            session.run(f"CREATE INDEX ON {quarantine} (quarantine_run, quarantine_batch)")  # for --restore
            hand_over(session, quarantine)
    known = unlimited(session, quarantine)
    missing = [f"ADD {name} {type_}" for name, type_ in unlimited(session, raw).items() if name not in known]
    if missing:
        with session.transaction():
            lock(session, contract.quarantine, writes=True)
            session.run(f"ALTER TABLE {quarantine} {', '.join(missing)}")


def hand_over(session: Session, table: Relation) -> None:
    """Give a table that we just created to the raw table's owner, and revoke the rights of all other roles."""
    owner = session.value(
        "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(%s)",
        (str(session.raw),),
    )
    session.run(f"ALTER TABLE {table} OWNER TO {owner}")
    session.run(make_private(table))


def stored_columns(session: Session, contract: Contract) -> list[str]:
    """Return the columns, quoted, that raw table and quarantine have in common, without generated ones."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(%s) "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname = ANY (%s) ORDER BY attnum",
        (str(session.schema[contract.table]), list(catalog.columns(session, contract.quarantine))),
    )
    return [row["name"] for row in rows]


def gone_columns(session: Session, contract: Contract, stored: list[str]) -> dict[str, str]:
    """Return the columns of raw rows in quarantine, quoted, that are not ``stored`` any more, and their types."""
    rows = session.rows(
        "SELECT quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attname <> ALL (%s) "
        "AND quote_ident(attname) <> ALL (%s) ORDER BY attnum",
        (str(session.schema[contract.quarantine]), [column.split()[0] for column in COLUMNS], stored),
    )
    return {row["name"]: row["type"] for row in rows}


def run_quarantine(session: Session, report: Report, limit: int) -> None:
    """Report what is in quarantine: runs with their reasons, and a sample of ids."""
    contract = contract_at(session.target.name, report.revision)
    name = session.schema[contract.quarantine]
    report.put(QuarantineListFacts(0))
    if has_quarantine(session, contract):
        must_read(session, contract.quarantine)
        with own_tables_locked(session, contract.quarantine):
            report.put(_listed(session, name, limit))


def _listed(session: Session, name: Relation, limit: int) -> QuarantineListFacts:
    by_run = session.rows(
        "SELECT quarantine_run AS run, quarantine_reason AS reason, "
        "count(*) FILTER (WHERE quarantine_repaired IS NULL) AS moved, count(quarantine_repaired) AS repaired, "
        f"{utc('min(quarantine_at)')} AS since, min(quarantine_by) AS by FROM {name} "
        'GROUP BY 1, 2 ORDER BY 1 DESC, quarantine_reason COLLATE "C"'
    )
    sample = session.rows(
        "SELECT id, quarantine_run AS run, CASE WHEN quarantine_repaired IS NULL THEN 'moved' ELSE 'repaired' END "
        f"AS what, quarantine_reason AS reason, quarantine_kept AS kept FROM {name} "
        'ORDER BY id COLLATE "C", run LIMIT %s',
        (limit,),
    )
    return QuarantineListFacts(
        session.value(f"SELECT count(*) FROM {name}"),
        tuple(QuarantinedRun(**row) for row in by_run),
        tuple(QuarantinedRow(**row) for row in sample),
    )
